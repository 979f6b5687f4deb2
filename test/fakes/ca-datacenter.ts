import type { KeyObject } from 'node:crypto';
import { type Ca, type CaDeps, type CaOptions, createCa, type PrimaryCa } from '../../src/domain/ca/ca.ts';
import { CaProviders } from '../../src/domain/ca/providers/providers.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { IsthmusError } from '../../src/lib/errors.ts';
import { linkSignals } from '../../src/lib/signals.ts';
import type { CaConfiguration, CaRoots, HolderReport, IssuedCert } from '../../src/model/ca.ts';
import { parseChain } from '../../src/pki/certificate.ts';
import { verifyChain } from '../../src/pki/chain.ts';
import { createCsr } from '../../src/pki/csr.ts';
import { generateLeafKey } from '../../src/pki/keys.ts';
import type { Engine } from '../../src/store/engine.ts';
import { MemoryEngine } from '../../src/store/memory/memory-engine.ts';
import type { Read } from '../../src/store/read.ts';
import { Store } from '../../src/store/store.ts';
import { noLog, noMetrics } from '../../src/telemetry/types.ts';
import { soleLeader } from './sole-leader.ts';

const NO_ABORT = new AbortController().signal;

export interface CaDatacenter {
  readonly name: string;
  readonly engine: Engine;
  readonly store: Store;
  readonly ca: Ca;
  roots(): CaRoots;
  /** A leaf for `service`, by a new key. */
  leaf(service?: string): Promise<IssuedCert>;
  stop(): Promise<void>;
}

/** A datacenter's CA over a memory store; give the same `engine` again to restart it. */
export async function startCa(
  name: string,
  clock: Clock,
  deps: Partial<CaDeps> & { readonly engine?: Engine } = {},
  options: CaOptions = {},
): Promise<CaDatacenter> {
  const { engine = new MemoryEngine(clock), ...rest } = deps;
  const store = new Store({
    engine,
    clock,
    onError: (what, error) => {
      throw new IsthmusError('internal', `${what}: ${error.message}`);
    },
  });
  const ca = createCa(
    {
      store,
      leadership: soleLeader(store, clock),
      clock,
      log: noLog,
      metrics: noMetrics,
      providers: caProviders(clock),
      datacenter: name,
      primaryDatacenter: 'dc1',
      random: () => 0.5,
      ...rest,
    },
    options,
  );
  await store.start(NO_ABORT);
  await ca.service.start(NO_ABORT);
  return {
    name,
    engine,
    store,
    ca,
    roots: () => ca.reads['ca.roots'].produce({}),
    leaf: (service = 'web') => ca.signLeaf({ csr: leafCsr(ca, name, service) }),
    async stop() {
      await ca.service.stop();
      await store.stop();
    },
  };
}

/** The providers that there are, with no way out. */
export function caProviders(clock: Clock): CaProviders {
  return new CaProviders({
    clock,
    log: noLog,
    http: () => Promise.reject(new IsthmusError('internal', 'this provider needs no network')),
  });
}

export function leafCsr(ca: Ca, datacenter: string, service: string, key: KeyObject = generateLeafKey()): string {
  return createCsr(key, { uri: `spiffe://${ca.trustDomain()}/ns/default/dc/${datacenter}/svc/${service}` });
}

/** Verifies a leaf against the roots that a datacenter answers with; throws when it is not trusted. */
export function verifyAgainst(leaf: IssuedCert, roots: CaRoots, at: number): string {
  const chain = parseChain(leaf.CertPEM);
  const { root } = verifyChain(chain, parseChain(roots.Roots.map((one) => one.RootCert).join('')), at);
  return root.commonName;
}

export function holderReport(holder: string, report: Partial<HolderReport>): HolderReport {
  return { Holder: holder, Verifiers: 1, RootIDs: [], Pending: [], LeavesByRoot: {}, ...report };
}

/** The way from a secondary to a primary in the same process; it can be cut and healed. */
export class FakeCaLink implements PrimaryCa {
  #primary: CaDatacenter | undefined;
  #cut = new AbortController();
  /** Calls that got through, by name. */
  readonly calls = { watchRoots: 0, signIntermediate: 0, report: 0, config: 0 };

  /** @param primary undefined: there is no primary yet. */
  constructor(primary?: CaDatacenter) {
    this.#primary = primary;
    if (primary === undefined) this.cut();
  }

  cut(): void {
    this.#cut.abort(new IsthmusError('no_path', 'No path to datacenter'));
  }

  heal(primary: CaDatacenter | undefined = this.#primary): void {
    this.#primary = primary;
    this.#cut = new AbortController();
  }

  watchRoots(signal: AbortSignal): AsyncIterable<CaRoots> {
    return this.#watch('watchRoots', (ca) => ca.reads['ca.roots'], signal);
  }

  watchConfig(signal: AbortSignal): AsyncIterable<CaConfiguration> {
    return this.#watch('config', (ca) => ca.reads['ca.config'], signal);
  }

  async signIntermediate(csr: string, datacenter: string): Promise<{ certPem: string; rootId: string }> {
    return this.#through('signIntermediate').ca.signIntermediate({ csr, datacenter });
  }

  async report(report: Parameters<PrimaryCa['report']>[0]): Promise<void> {
    await this.#through('report').ca.reportDatacenter(report);
  }

  async config(): ReturnType<PrimaryCa['config']> {
    return this.#through('config').ca.reads['ca.config'].produce({});
  }

  async *#watch<T>(
    call: keyof FakeCaLink['calls'],
    pick: (ca: Ca) => Read<Record<never, never>, T>,
    signal: AbortSignal,
  ): AsyncIterable<T> {
    const { ca, store } = this.#through(call);
    const linked = linkSignals(signal, this.#cut.signal);
    const read = pick(ca);
    try {
      for (;;) {
        const index = store.topics.index(read.topics({}));
        yield read.produce({});
        await store.topics.wait(read.topics({}), index, linked.signal);
      }
    } finally {
      linked.release();
    }
  }

  #through(call: keyof FakeCaLink['calls']): CaDatacenter {
    if (this.#cut.signal.aborted || this.#primary === undefined)
      throw new IsthmusError('no_path', 'No path to datacenter');
    this.calls[call] += 1;
    return this.#primary;
  }
}
