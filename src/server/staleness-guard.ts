import type { Clock, Timer } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { linkSignals } from '../lib/signals.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import { READS } from '../rpc/contract/reads.ts';
import type { EngineContact } from '../store/engine.ts';

export interface StalenessGuardDeps {
  readonly inner: ServerContract;
  /** How well this server reaches its datacenter's data. */
  readonly contact: () => EngineContact;
  readonly clock: Clock;
}

/** What this datacenter knows of itself may be so old before others count its services as lost, milliseconds. */
export const MAX_AGE_MS = 10_000;
/** Between two looks while somebody watches, milliseconds. */
const LOOK_MS = 1_000;

/**
 * The contract as other datacenters get it: who asks for instances that connections may fail over to or from is refused
 * once the data is too old, in the middle of a watch too. The own datacenter goes on with what it has.
 */
export class StalenessGuard implements ServerContract {
  readonly #deps: StalenessGuardDeps;
  readonly read: ServerContract['read'];
  readonly write: ServerContract['write'];
  readonly watch: ServerContract['watch'];

  constructor(deps: StalenessGuardDeps) {
    this.#deps = deps;
    const { inner } = deps;
    this.write = (name, args, options) => inner.write(name, args, options);
    this.read = async (name, args, options) => {
      if (READS[name].refusedOnceOld) this.#refuseOld();
      return inner.read(name, args, options);
    };
    this.watch = (name, args, options) => {
      if (!READS[name].refusedOnceOld) return inner.watch(name, args, options);
      return this.#whileFresh(options.signal, (signal) => inner.watch(name, args, { ...options, signal }));
    };
  }

  async *#whileFresh<T>(parent: AbortSignal, watch: (signal: AbortSignal) => AsyncIterable<T>): AsyncGenerator<T> {
    const { clock } = this.#deps;
    this.#refuseOld();
    const life = linkSignals(parent);
    let timer: Timer;
    const look = (): void => {
      const old = this.#tooOld();
      if (old === undefined) timer = clock.after(LOOK_MS, look);
      else life.abort(old);
    };
    timer = clock.after(LOOK_MS, look);
    try {
      yield* watch(life.signal);
    } finally {
      timer.cancel();
      life.release();
    }
  }

  #refuseOld(): void {
    const old = this.#tooOld();
    if (old !== undefined) throw old;
  }

  /** `rejected`: who watches must hear of it, not go on waiting as over a cut. */
  #tooOld(): IsthmusError | undefined {
    const { connected, lastMs } = this.#deps.contact();
    if (connected || lastMs <= MAX_AGE_MS) return undefined;
    return new IsthmusError('rejected', `the data of this datacenter is ${Math.round(lastMs / 1_000)} s old`);
  }
}
