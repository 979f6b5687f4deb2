import { IsthmusError } from '../../src/lib/errors.ts';
import type { ServiceInstance } from '../../src/model/catalog.ts';
import type { QueryInstance, QuerySelection } from '../../src/model/prepared-query.ts';
import type { CallOptions, WatchUpdate } from '../../src/rpc/contract/contract.ts';
import { makeResult } from '../../src/rpc/contract/result.ts';
import type { Mesh } from '../../src/server/resolve/mesh.ts';

/** Other datacenters, of which the test decides everything. */
export class FakeQueryMesh implements Mesh {
  readonly datacenter = 'dc1';
  known = ['dc1', 'dc2', 'dc3'];
  readonly away = new Set<string>();
  readonly silent = new Set<string>();
  readonly asked: string[] = [];
  /** Watches that are open now. */
  following = 0;
  readonly #services = new Map<string, readonly QueryInstance[]>();
  readonly #listeners = new Set<() => void>();

  set(datacenter: string, service: string, ...nodes: readonly string[]): void {
    this.put(
      datacenter,
      service,
      nodes.map((node) => queryInstance(node, service, datacenter)),
    );
  }

  put(datacenter: string, service: string, instances: readonly QueryInstance[]): void {
    this.#services.set(`${datacenter}/${service}`, instances);
    this.#tell();
  }

  lose(datacenter: string, lost = true): void {
    if (lost) this.away.add(datacenter);
    else this.away.delete(datacenter);
    this.#tell();
  }

  clear(): void {
    this.#services.clear();
    this.away.clear();
    this.silent.clear();
    this.asked.length = 0;
    this.known = ['dc1', 'dc2', 'dc3'];
  }

  datacenters(): readonly string[] {
    return this.known;
  }

  reaches(datacenter: string): boolean {
    return !this.away.has(datacenter);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Answers `queries.candidates`. */
  readonly contract = {
    read: async (_name: string, { service }: QuerySelection, { datacenter = this.datacenter }: CallOptions) => {
      this.asked.push(datacenter);
      if (this.silent.has(datacenter)) return new Promise(() => undefined);
      if (this.away.has(datacenter)) throw new IsthmusError('no_path', 'No path to datacenter');
      return makeResult({ index: 1, value: this.#services.get(`${datacenter}/${service}`) ?? [] });
    },
    watch: (_name: string, args: QuerySelection, options: CallOptions) => this.#follow(args, options),
  } as unknown as Mesh['contract'];

  async *#follow(
    { service }: QuerySelection,
    { datacenter = this.datacenter, signal }: CallOptions,
  ): AsyncGenerator<WatchUpdate<readonly QueryInstance[]>> {
    let index = 0;
    let told: unknown;
    this.following += 1;
    signal.addEventListener(
      'abort',
      () => {
        this.following -= 1;
      },
      { once: true },
    );
    while (!signal.aborted) {
      const now = this.#services.get(`${datacenter}/${service}`) ?? NOBODY;
      if (now !== told && !this.silent.has(datacenter) && !this.away.has(datacenter)) {
        told = now;
        yield { index: ++index, value: now };
        continue;
      }
      await new Promise<void>((resolve) => {
        const end = this.onChange(() => {
          end();
          resolve();
        });
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

const NOBODY: readonly QueryInstance[] = [];

export function queryInstance(node: string, service: string, datacenter: string): ServiceInstance {
  const meta = { CreateIndex: 1, ModifyIndex: 1 };
  return {
    Node: {
      ID: '',
      Node: node,
      Address: '10.0.0.1',
      Datacenter: datacenter,
      TaggedAddresses: null,
      Meta: null,
      ...meta,
    },
    Service: {
      ID: service,
      Service: service,
      Tags: null,
      Address: '',
      Meta: null,
      Port: 1,
      Weights: { Passing: 1, Warning: 1 },
      EnableTagOverride: false,
      Proxy: { MeshGateway: {}, Expose: {} },
      Connect: {},
      ...meta,
    },
    Checks: [],
  };
}
