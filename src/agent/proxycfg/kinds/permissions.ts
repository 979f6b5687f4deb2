import type { WatchPool } from '../../../rpc/subscribe/watch-pool.ts';
import { nameOf, type UpstreamTarget } from '../upstream-resolver.ts';

export interface PermissionsDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly source: UpstreamTarget;
  readonly token?: string;
  readonly changed: () => void;
}

interface FollowedPermission {
  allowed: boolean;
  end: () => void;
}

/**
 * Which of the services that a proxy dials it may connect to. The other side decides; this side needs to know so that
 * it can end what is open and no longer allowed. What is not known counts as allowed.
 */
export class Permissions {
  readonly #deps: PermissionsDeps;
  readonly #followed = new Map<string, FollowedPermission>();

  constructor(deps: PermissionsDeps) {
    this.#deps = deps;
  }

  /** Follows these targets and no others. */
  follow(targets: Iterable<UpstreamTarget>): void {
    const wanted = new Map<string, UpstreamTarget>();
    for (const target of targets) wanted.set(nameOf(target), target);
    for (const [name, { end }] of this.#followed) {
      if (wanted.has(name)) continue;
      this.#followed.delete(name);
      end();
    }
    for (const [name, target] of wanted) if (!this.#followed.has(name)) this.#begin(name, target);
  }

  /** Those that may not be connected to, sorted. */
  refused(targets: readonly UpstreamTarget[]): readonly string[] {
    return targets
      .map(nameOf)
      .filter((name) => this.#followed.get(name)?.allowed === false)
      .sort();
  }

  close(): void {
    for (const { end } of this.#followed.values()) end();
    this.#followed.clear();
  }

  #begin(name: string, { service, datacenter }: UpstreamTarget): void {
    const { pool, source, token } = this.#deps;
    const followed: FollowedPermission = { allowed: true, end: () => undefined };
    this.#followed.set(name, followed);
    followed.end = pool.follow(
      'intentions.connection',
      {
        source: source.service,
        sourceDatacenter: source.datacenter,
        destination: service,
        destinationDatacenter: datacenter,
      },
      token === undefined ? {} : { token },
      ({ value }) => {
        // What was last known stays in force.
        const allowed = value === undefined ? followed.allowed : value.Verdict !== 'deny';
        if (allowed === followed.allowed) return;
        followed.allowed = allowed;
        if (this.#followed.get(name) === followed) this.#deps.changed();
      },
    );
  }
}
