import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { CaRoots, LeafCert } from '../../model/ca.ts';
import { tryParseSpiffe } from '../../model/spiffe.ts';
import { createTrust, type Trust } from '../../sidecar/wire/trust.ts';
import { createAgentApi } from '../agent.ts';
import type { Transport } from '../transport.ts';
import { follow, isRefusal } from './follow.ts';

export interface IdentityDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly tasks: TaskGroup;
  readonly service: string;
}

/**
 * Certificate and roots of the service, always the newest ones: the agent renews the certificate long before it
 * expires.
 */
export class Identity {
  readonly #deps: IdentityDeps;
  readonly #listeners = new Set<() => void>();
  #roots: CaRoots | undefined;
  #leaf: LeafCert | undefined;
  #trust: Trust | undefined;
  #datacenter = '';
  #problem: IsthmusError | undefined;

  constructor(deps: IdentityDeps) {
    this.#deps = deps;
  }

  /** Resolves with the first certificate; rejects when the agent refuses. */
  start(): Promise<void> {
    const { tasks, transport, service } = this.#deps;
    return new Promise((resolve, reject) => {
      const failed = (error: IsthmusError): void => {
        this.#problem = error;
        if (this.#trust === undefined && isRefusal(error)) reject(refused(service, error));
      };
      const took = (): void => {
        this.#renew();
        if (this.#trust !== undefined) resolve();
      };
      follow<CaRoots>(tasks, 'roots', {
        read: (call) => transport.json({ method: 'GET', path: '/v1/agent/connect/ca/roots', call }),
        take: (roots) => {
          this.#roots = roots;
          took();
        },
        failed,
      });
      const agent = createAgentApi(transport);
      follow<LeafCert>(tasks, 'certificate', {
        read: (call) => agent.leaf(service, call),
        take: (leaf) => {
          this.#leaf = leaf;
          took();
        },
        failed,
      });
    });
  }

  /** Why there is no certificate yet. */
  get problem(): IsthmusError | undefined {
    return this.#problem;
  }

  /** The datacenter that the certificate names: the agent's own. */
  get datacenter(): string {
    return this.#datacenter;
  }

  /** Throws `unavailable` before the first certificate, and when it has expired since no newer one could be had. */
  readonly trust = (): Trust => {
    const { service, clock } = this.#deps;
    if (this.#trust === undefined)
      throw new IsthmusError('unavailable', `${service} has no certificate yet: await start() first`);
    if (clock.now() > this.#trust.leafNotAfter) {
      const why = this.#problem === undefined ? '' : `: ${this.#problem.message}`;
      const text =
        `the certificate of ${service} has expired and its agent gives no newer one; see that the agent ` +
        `runs${why}`;
      throw new IsthmusError('unavailable', text);
    }
    return this.#trust;
  };

  /** Roots that it verifies with. */
  get rootIds(): readonly string[] {
    return this.#trust === undefined ? [] : (this.#roots?.Roots.map(({ ID }) => ID) ?? []);
  }

  get expires(): number {
    return this.#trust?.leafNotAfter ?? 0;
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  #renew(): void {
    const [roots, leaf] = [this.#roots, this.#leaf];
    if (roots === undefined || leaf === undefined || roots.Roots.length === 0) return;
    this.#datacenter = tryParseSpiffe(leaf.ServiceURI)?.datacenter ?? '';
    this.#trust = createTrust(
      {
        trustDomain: roots.TrustDomain,
        activeRootId: roots.ActiveRootID,
        roots: roots.Roots.map(({ ID, RootCert }) => ({ id: ID, pem: RootCert })),
      },
      {
        certPem: leaf.CertPEM,
        keyPem: leaf.PrivateKeyPEM,
        uri: leaf.ServiceURI,
        validAfter: leaf.ValidAfter,
        validBefore: leaf.ValidBefore,
      },
    );
    this.#problem = undefined;
    for (const listener of this.#listeners) listener();
  }
}

function refused(service: string, error: IsthmusError): IsthmusError {
  const what = `the agent gives no certificate for ${service}: ${error.message}`;
  const text = error.code === 'permission_denied' ? `${what}; its token needs service:write on ${service}` : what;
  return new IsthmusError(error.code, text, { cause: error });
}
