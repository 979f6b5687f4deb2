import { ALL_RIGHTS, type Callers, type Rights } from '../../model/rights.ts';
import { denied } from './denied.ts';

/** What a token may do; all, where access control is off. Throws `permission_denied` when there is no such token. */
export type RightsOf = (token: string | undefined, signal: AbortSignal) => Promise<Rights>;

export interface RightsOfDeps {
  readonly enabled: boolean;
  readonly callers: Callers;
  /** The agent's token for those who ask it without one; '' is anonymous. */
  readonly defaultToken: () => string;
}

/** Rights as the agent's own endpoints ask for them. */
export function rightsOf({ enabled, callers, defaultToken }: RightsOfDeps): RightsOf {
  if (!enabled) return async () => ALL_RIGHTS;
  return async (token, signal) => {
    const secret = token || defaultToken();
    return (callers.peek(secret) ?? (await callers.resolve(secret, signal))).rights;
  };
}

/** Rejects with `permission_denied` unless the token may write the service. */
export type RequireService = (
  service: string,
  options: { readonly token?: string; readonly signal: AbortSignal },
) => Promise<void>;

export function serviceWriters(rights: RightsOf): RequireService {
  return async (service, { token, signal }) => {
    if (!(await rights(token, signal)).may('service', service, 'write')) throw denied();
  };
}
