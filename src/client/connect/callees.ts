import { IsthmusError } from '../../lib/errors.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { Intention } from '../../model/intention.ts';
import { foldName } from '../../model/names.ts';
import type { OpenConnections } from '../../sidecar/wire/open-connections.ts';
import type { Transport } from '../transport.ts';
import { follow } from './follow.ts';

export interface CalleesDeps {
  readonly transport: Transport;
  readonly tasks: TaskGroup;
  /** The service that calls. */
  readonly service: string;
  readonly ownDatacenter: () => string;
  /** What it has open to others. */
  readonly open: OpenConnections;
}

/** A service in one datacenter. */
interface Callee {
  readonly service: string;
  readonly datacenter: string;
}

const WILDCARD = '*';

/**
 * Follows whom the service may call. The other side refuses what it may not; but an Envoy there never ends what is
 * open, so this side does, as a sidecar would. An intention about requests (`Permissions`) is left to the other side.
 */
export class Callees {
  readonly #deps: CalleesDeps;
  readonly #refused = new Map<string, string>();
  /** Sorted, what decides first first. Undefined while they can't be followed: then nothing is refused from here. */
  #intentions: readonly Intention[] | undefined;

  constructor(deps: CalleesDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { transport, tasks, service } = this.#deps;
    follow<Readonly<Record<string, readonly Intention[] | null>> | null>(tasks, 'intentions', {
      read: (call) =>
        transport.json({
          method: 'GET',
          path: '/v1/connect/intentions/match',
          query: { by: 'source', name: service },
          call,
        }),
      take: (intentions) => {
        this.#intentions = Object.values(intentions ?? {}).flatMap((of) => of ?? []);
        this.#refused.clear();
        for (const { identity } of this.#deps.open.peers()) if (!this.#check(identity)) this.#checkDefault(identity);
      },
      failed: () => {
        this.#intentions = undefined;
        this.#refused.clear();
      },
    });
  }

  /** Throws `permission_denied` when an intention forbids the call. */
  require(callee: Callee): void {
    this.#check(callee);
    const text = this.#refused.get(keyOf(callee));
    if (text !== undefined) throw new IsthmusError('permission_denied', text);
  }

  /** True when an intention decides. */
  #check(callee: Callee): boolean {
    const rule = this.#intentions?.find((intention) => this.#applies(intention, callee));
    if (rule === undefined) return false;
    const { SourceName, DestinationName, Action, Precedence } = rule;
    if (Action === 'deny')
      this.#refuse(callee, `intention ${SourceName} => ${DestinationName} (deny, precedence ${Precedence})`);
    return true;
  }

  /** No intention is left that decides: does the default policy allow it? */
  #checkDefault(callee: Callee): void {
    const { transport, tasks, service, ownDatacenter } = this.#deps;
    const intentions = this.#intentions;
    tasks.run('intentions', async (signal) => {
      const { value } = await transport.json<{ readonly Allowed: boolean }>({
        method: 'GET',
        path: '/v1/connect/intentions/check',
        query: {
          source: service,
          destination: callee.service,
          'source-dc': ownDatacenter(),
          'destination-dc': callee.datacenter,
        },
        call: { signal },
      });
      if (!value.Allowed && this.#intentions === intentions) this.#refuse(callee, 'the default policy (deny)');
    });
  }

  #refuse(callee: Callee, why: string): void {
    const { service, open } = this.#deps;
    const key = keyOf(callee);
    this.#refused.set(key, `${service} may not call ${callee.service} in ${callee.datacenter}: ${why}`);
    open.abortWhere(({ identity }) => keyOf(identity) === key);
  }

  #applies(intention: Intention, { service, datacenter }: Callee): boolean {
    const named = intention.DestinationName;
    return (
      (named === WILDCARD || foldName(named) === foldName(service)) &&
      matches(intention.DestinationDatacenter, datacenter) &&
      matches(intention.SourceDatacenter, this.#deps.ownDatacenter())
    );
  }
}

/** Absent or empty: any. */
function matches(named: string | undefined, datacenter: string): boolean {
  return named === undefined || named === '' || foldName(named) === foldName(datacenter);
}

function keyOf({ service, datacenter }: Callee): string {
  return `${foldName(service)} in ${datacenter}`;
}
