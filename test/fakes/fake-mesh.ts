import type { KeyObject } from 'node:crypto';
import { AsyncQueue } from '../../src/lib/queue.ts';
import type { Verdicts } from '../../src/model/intention.ts';
import type {
  SidecarConfig,
  SidecarEndpoint,
  SidecarLeaf,
  SidecarRoots,
  SidecarSource,
  SidecarUpdate,
  SidecarUpstream,
} from '../../src/model/sidecar.ts';
import { formatSpiffe } from '../../src/model/spiffe.ts';
import { createIssuer, createRoot, type Issuer } from '../../src/pki/issuer.ts';
import { generateLeafKey, privateKeyToPem, spkiOf } from '../../src/pki/keys.ts';

const HOUR_MS = 3_600_000;

export interface LeafOptions {
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly trustDomain?: string;
  /** Instead of the service's identity. */
  readonly uri?: string;
  /** Signed by the intermediate of this datacenter instead of the root. */
  readonly signedBy?: string;
}

/** A certificate authority with real keys and certificates: one root at a time, which can be rotated. */
export class FakeAuthority {
  readonly trustDomain: string;
  #issuer: Issuer;
  #rootPem: string;
  #serial = 0;

  constructor(trustDomain = '11111111-2222-3333-4444-555555555555.consul') {
    this.trustDomain = trustDomain;
    const { issuer, pem } = this.#newRoot();
    this.#issuer = issuer;
    this.#rootPem = pem;
  }

  get rootPem(): string {
    return this.#rootPem;
  }

  /** Signs with a new root from here on. */
  rotate(): string {
    const { issuer, pem } = this.#newRoot();
    this.#issuer = issuer;
    this.#rootPem = pem;
    return pem;
  }

  roots(...pems: readonly string[]): SidecarRoots {
    const trusted = pems.length === 0 ? [this.#rootPem] : pems;
    return {
      trustDomain: this.trustDomain,
      activeRootId: this.#rootPem,
      roots: trusted.map((pem, n) => ({ id: `root-${n}`, pem })),
    };
  }

  leaf(service: string, datacenter: string, options: LeafOptions = {}): SidecarLeaf {
    const key: KeyObject = generateLeafKey();
    const trustDomain = options.trustDomain ?? this.trustDomain;
    const uri =
      options.uri ?? formatSpiffe({ kind: 'service', trustDomain, namespace: 'default', datacenter, service });
    const { issuer, chain } =
      options.signedBy === undefined ? { issuer: this.#issuer, chain: '' } : this.#intermediate(options.signedBy);
    const signed = issuer.signLeaf({
      spki: spkiOf(key),
      uri,
      commonName: service,
      notBefore: options.notBefore ?? Date.now() - 60_000,
      notAfter: options.notAfter ?? Date.now() + HOUR_MS,
    });
    return {
      certPem: signed.pem + chain,
      keyPem: privateKeyToPem(key),
      uri,
      validAfter: new Date(signed.notBefore).toISOString(),
      validBefore: new Date(signed.notAfter).toISOString(),
    };
  }

  #intermediate(datacenter: string): { issuer: Issuer; chain: string } {
    const key = generateLeafKey();
    const { pem: chain } = this.#issuer.signCa({
      spki: spkiOf(key),
      uri: formatSpiffe({ kind: 'signing', trustDomain: this.trustDomain, datacenter }),
      commonName: `Fake intermediate of ${datacenter}`,
      notBefore: Date.now() - HOUR_MS,
      notAfter: Date.now() + 24 * HOUR_MS,
      pathLength: 0,
      permittedUriHost: this.trustDomain,
    });
    return { issuer: createIssuer(chain, key), chain };
  }

  #newRoot(): { issuer: Issuer; pem: string } {
    const key = generateLeafKey();
    this.#serial += 1;
    const pem = createRoot({
      key,
      commonName: `Fake root ${this.#serial}`,
      uri: formatSpiffe({ kind: 'signing', trustDomain: this.trustDomain }),
      notBefore: Date.now() - 24 * HOUR_MS,
      notAfter: Date.now() + 24 * HOUR_MS,
    });
    return { issuer: createIssuer(pem, key), pem };
  }
}

/** Updates by hand; remembers what was acknowledged. */
export class FakeSidecarSource implements SidecarSource {
  #queue = new AsyncQueue<SidecarUpdate>();
  #full: Omit<SidecarUpdate, 'version'>;
  #version = 1;
  #acknowledged = 0;
  #waiters: { readonly version: number; readonly resolve: () => void }[] = [];
  /** While set, the source can't be reached. */
  down = false;

  constructor(first: Omit<SidecarUpdate, 'version'>) {
    this.#full = first;
    this.#queue.push({ version: 1, ...first });
  }

  /** Sends the parts that changed; returns the version. */
  send(parts: Omit<SidecarUpdate, 'version'>): number {
    this.#full = { ...this.#full, ...parts, endpoints: { ...this.#full.endpoints, ...parts.endpoints } };
    this.#version += 1;
    this.#queue.push({ version: this.#version, ...parts });
    return this.#version;
  }

  /** Sends and waits until it is in effect. */
  async put(parts: Omit<SidecarUpdate, 'version'>): Promise<void> {
    const version = this.send(parts);
    if (this.#acknowledged < version) await new Promise<void>((resolve) => this.#waiters.push({ version, resolve }));
  }

  /** The stream of updates breaks; the next one starts with everything. */
  cut(): void {
    const old = this.#queue;
    this.#queue = new AsyncQueue();
    this.#version += 1;
    this.#queue.push({ version: this.#version, ...this.#full });
    old.end();
  }

  async *updates(signal: AbortSignal): AsyncGenerator<SidecarUpdate> {
    if (this.down) throw new Error('the agent is away');
    const queue = this.#queue;
    const unhook = queue.endOn(signal);
    try {
      yield* queue;
    } finally {
      unhook();
    }
  }

  async acknowledge(version: number): Promise<void> {
    this.#acknowledged = version;
    const done = this.#waiters.filter((waiter) => waiter.version <= version);
    this.#waiters = this.#waiters.filter((waiter) => waiter.version > version);
    for (const waiter of done) waiter.resolve();
  }
}

export const ALLOW_ALL: Verdicts = {
  destination: '*',
  destinationDatacenter: 'dc2',
  rules: [],
  defaultAction: 'allow',
  revision: 1,
};

/** Denies one source and lets all others through. */
export function denying(source: string, revision = 7): Verdicts {
  const rule = { source, destination: 'db', action: 'deny', precedence: 9, revision } as const;
  return { ...ALLOW_ALL, destination: 'db', rules: [rule], revision };
}

export function fakeUpstream(name: string, datacenter: string, config: Record<string, unknown> = {}): SidecarUpstream {
  return {
    key: `service:${name}@${datacenter}:0`,
    type: 'service',
    name,
    datacenter,
    bindAddress: '127.0.0.1',
    bindPort: 0,
    config,
  };
}

export function fakeEndpoint(address: string, service: string, datacenter: string, weight = 1): SidecarEndpoint {
  const port = Number(address.slice(address.lastIndexOf(':') + 1));
  return { id: `${datacenter}/node/${port}`, address: '127.0.0.1', port, service, datacenter, weight };
}

export interface FakeProxy {
  readonly service: string;
  readonly datacenter: string;
  /** Port of the application; absent for a client only. */
  readonly localPort?: number;
  readonly upstreams?: readonly SidecarUpstream[];
  readonly config?: Readonly<Record<string, unknown>>;
}

export function fakeConfig(proxy: FakeProxy): SidecarConfig {
  const inbound =
    proxy.localPort === undefined
      ? {}
      : { listen: { address: '127.0.0.1', port: 0 }, local: { address: '127.0.0.1', port: proxy.localPort } };
  return {
    proxyId: `${proxy.service}-sidecar-proxy`,
    service: proxy.service,
    datacenter: proxy.datacenter,
    node: 'node',
    upstreams: proxy.upstreams ?? [],
    config: proxy.config ?? {},
    ...inbound,
  };
}
