import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { abortReason } from '../lib/signals.ts';
import type { VerdictRule, Verdicts } from '../model/intention.ts';
import { tryParseSpiffe } from '../model/spiffe.ts';
import { decide } from '../model/verdicts.ts';
import type { Followed, WatchPool } from '../rpc/subscribe/watch-pool.ts';
import type { CachedAnswer } from './cache/held.ts';

/** The question of POST /v1/agent/connect/authorize. */
export interface AuthorizeRequest {
  readonly Target: string;
  readonly ClientCertURI: string;
  readonly ClientCertSerial: string;
}

export interface AuthorizeResponse {
  readonly Authorized: boolean;
  readonly Reason: string;
}

export interface AuthorizerDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly clock: Clock;
  /** With ACLs on, the default is theirs, and is said to be. */
  readonly aclsEnabled: boolean;
}

/** Targets whose verdicts are followed; the one asked about longest ago goes first. */
const MAX_TARGETS = 1_024;

interface Target {
  readonly state: Followed<Verdicts> | undefined;
  readonly waiters: Set<() => void>;
  readonly end: () => void;
}

/** Decides about connections for applications that are linked natively, from verdicts that it follows. */
export class Authorizer {
  readonly #deps: AuthorizerDeps;
  readonly #targets = new Map<string, Target>();

  constructor(deps: AuthorizerDeps) {
    this.#deps = deps;
  }

  async authorize(
    request: AuthorizeRequest,
    options: { readonly signal: AbortSignal; readonly token?: string },
  ): Promise<CachedAnswer<AuthorizeResponse>> {
    if (request.Target === '')
      throw new IsthmusError('invalid_argument', 'Bad request: Target service must be specified');
    const client = tryParseSpiffe(request.ClientCertURI);
    if (client === undefined)
      throw new IsthmusError('invalid_argument', 'Bad request: ClientCertURI not a valid Connect identifier');
    if (client.kind !== 'service')
      throw new IsthmusError('invalid_argument', 'Bad request: ClientCertURI not a valid Service identifier');
    const target = this.#target(request.Target, options.token);
    const cacheHit = target.state !== undefined;
    const { value: verdicts, index, lostAt } = await firstState(target, options.signal);
    if (verdicts === undefined)
      throw new IsthmusError(
        'unavailable',
        `the intentions are not known: ${target.state?.problem ?? 'no answer yet'}`,
      );
    const { allowed, rule } = decide(verdicts, client.service, client.datacenter);
    const value = { Authorized: allowed, Reason: rule === undefined ? this.#defaultReason() : reasonOf(rule) };
    return { value, index, cacheHit, ageMs: lostAt === undefined ? 0 : this.#deps.clock.now() - lostAt };
  }

  /** Ends what is followed. */
  close(): void {
    for (const target of this.#targets.values()) target.end();
    this.#targets.clear();
  }

  #defaultReason(): string {
    return this.#deps.aclsEnabled
      ? 'Default behavior configured by ACLs'
      : 'ACLs disabled, access is allowed by default';
  }

  #target(destination: string, token: string | undefined): Target {
    const key = JSON.stringify([destination, token ?? '']);
    const known = this.#targets.get(key);
    if (known !== undefined) {
      this.#targets.delete(key);
      this.#targets.set(key, known);
      return known;
    }
    const waiters = new Set<() => void>();
    let state: Followed<Verdicts> | undefined;
    const end = this.#deps.pool.follow(
      'intentions.verdicts',
      { destination },
      token === undefined ? {} : { token },
      (next) => {
        state = next;
        for (const wake of [...waiters]) wake();
      },
    );
    const target: Target = {
      get state() {
        return state;
      },
      waiters,
      end,
    };
    this.#targets.set(key, target);
    if (this.#targets.size > MAX_TARGETS) {
      const [oldest, dropped] = this.#targets.entries().next().value as [string, Target];
      this.#targets.delete(oldest);
      dropped.end();
    }
    return target;
  }
}

/** The state once there is a value or a problem. */
function firstState(target: Target, signal: AbortSignal): Promise<Followed<Verdicts>> {
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      target.waiters.delete(check);
      signal.removeEventListener('abort', onAbort);
    };
    const check = (): void => {
      if (target.state === undefined) return;
      finish();
      resolve(target.state);
    };
    const onAbort = (): void => {
      finish();
      reject(abortReason(signal));
    };
    target.waiters.add(check);
    signal.addEventListener('abort', onAbort, { once: true });
    check();
    if (signal.aborted) onAbort();
  });
}

/** As the peer describes an intention. */
function reasonOf(rule: VerdictRule): string {
  const id = rule.id === undefined ? '' : `ID: ${rule.id}, `;
  const detail =
    rule.permissions === undefined ? `Action: ${rule.action.toUpperCase()}` : `Permissions: ${rule.permissions}`;
  const layer = rule.permissions === undefined ? 'L4' : 'L7';
  return `Matched ${layer} intention: default/${rule.source} => default/${rule.destination} (${id}Precedence: ${rule.precedence}, ${detail})`;
}
