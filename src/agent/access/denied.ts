import { IsthmusError } from '../../lib/errors.ts';

/** Consul's text for a refusal; with a reason, where it gives one. */
export function denied(missing?: string): IsthmusError {
  return new IsthmusError(
    'permission_denied',
    missing === undefined ? 'Permission denied' : `Permission denied: Missing ${missing}`,
  );
}
