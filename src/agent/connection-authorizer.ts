import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { VerdictRule } from '../model/intention.ts';
import { tryParseSpiffe } from '../model/spiffe.ts';
import { decide } from '../model/verdicts.ts';
import { parseCertificate, parseChain } from '../pki/certificate.ts';
import { verifyChain } from '../pki/chain.ts';
import { SubscriptionCache } from '../rpc/subscribe/subscription-cache.ts';
import type { WatchPool } from '../rpc/subscribe/watch-pool.ts';
import type { CachedAnswer } from './cache/held.ts';
import type { RootsSource } from './cache/roots-cache.ts';

/** The question of POST /v1/agent/connect/authorize. */
export interface AuthorizeRequest {
  readonly Target: string;
  readonly ClientCertURI: string;
  readonly ClientCertSerial: string;
  /**
   * Not in Consul: the certificate and what came with it, PEM. With it the answer also says whether its issuer may sign
   * for its datacenter, which a TLS library does not know.
   */
  readonly ClientCertChain?: string;
}

export interface AuthorizeResponse {
  readonly Authorized: boolean;
  readonly Reason: string;
}

export interface ConnectionAuthorizerDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly roots: RootsSource;
  readonly clock: Clock;
  /** With ACLs on, the default is theirs, and is said to be. */
  readonly aclsEnabled: boolean;
}

/** Targets whose verdicts are followed at most. */
const MAX_TARGETS = 1_024;
/** Those of a target that sees no connection for this long are given up, milliseconds: Consul's 72 hours. */
const IDLE_MS = 72 * 3_600_000;
/** How long the first one who asks about a target waits, milliseconds. */
const FIRST_ANSWER_MS = 7_000;

/** Decides about connections for applications that are linked natively, from verdicts that it follows. */
export class ConnectionAuthorizer {
  readonly #deps: ConnectionAuthorizerDeps;
  readonly #verdicts: SubscriptionCache;

  constructor(deps: ConnectionAuthorizerDeps) {
    this.#deps = deps;
    this.#verdicts = new SubscriptionCache(deps, { max: MAX_TARGETS, idleMs: IDLE_MS });
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
    const distrust = await this.#distrust(request, options.signal);
    if (distrust !== '') return { value: { Authorized: false, Reason: distrust }, index: 0, cacheHit: false, ageMs: 0 };
    const args = { destination: request.Target };
    const entry = this.#verdicts.ask({ name: 'intentions.verdicts', args, token: options.token });
    const cacheHit = entry.state !== undefined;
    await entry.first(FIRST_ANSWER_MS, options.signal);
    if (entry.value === undefined)
      throw new IsthmusError('unavailable', `the intentions are not known: ${entry.problem ?? 'no answer yet'}`);
    const { index = 0, lostAt } = entry.state ?? {};
    const { allowed, rule } = decide(entry.value, client.service, client.datacenter);
    const value = { Authorized: allowed, Reason: rule === undefined ? this.#defaultReason() : reasonOf(rule) };
    return { value, index, cacheHit, ageMs: lostAt === undefined ? 0 : this.#deps.clock.steady() - lostAt };
  }

  /** Why the chain that was given is not that of the client; '' when it is, or when none was given. */
  async #distrust({ ClientCertChain = '', ClientCertURI }: AuthorizeRequest, signal: AbortSignal): Promise<string> {
    if (ClientCertChain === '') return '';
    const roots = await this.#deps.roots.held.wait({ signal });
    if (roots === undefined) throw new IsthmusError('unavailable', 'no root certificate is known yet');
    try {
      const chain = parseChain(ClientCertChain);
      const uris = chain[0]?.uris ?? [];
      if (uris.length !== 1 || uris[0] !== ClientCertURI) return 'The certificate is not that of ClientCertURI';
      verifyChain(
        chain,
        roots.value.Roots.map(({ RootCert }) => parseCertificate(RootCert)),
        this.#deps.clock.now(),
      );
      return '';
    } catch (error) {
      return IsthmusError.from(error).message;
    }
  }

  /** Ends what is followed. */
  close(): void {
    this.#verdicts.close();
  }

  #defaultReason(): string {
    return this.#deps.aclsEnabled
      ? 'Default behavior configured by ACLs'
      : 'ACLs disabled, access is allowed by default';
  }
}

/** As Consul describes an intention. */
function reasonOf(rule: VerdictRule): string {
  const id = rule.id === undefined ? '' : `ID: ${rule.id}, `;
  const detail =
    rule.permissions === undefined ? `Action: ${rule.action.toUpperCase()}` : `Permissions: ${rule.permissions}`;
  const layer = rule.permissions === undefined ? 'L4' : 'L7';
  return (
    `Matched ${layer} intention: default/${rule.source} => default/${rule.destination} (${id}Precedence: ` +
    `${rule.precedence}, ${detail})`
  );
}
