import { type Catalog, createCatalog } from '../../src/domain/catalog/catalog.ts';
import type { DeregisterRequest, RegisterRequest } from '../../src/model/catalog.ts';
import type { ServerContract } from '../../src/rpc/contract/contract.ts';
import type { Store } from '../../src/store/store.ts';
import { memoryStore } from './memory-store.ts';

/** One write that reached the catalog. */
export interface CatalogWrite {
  readonly name: 'catalog.register' | 'catalog.deregister';
  readonly args: RegisterRequest & DeregisterRequest;
  readonly token: string | undefined;
}

export interface CatalogDatacenter {
  readonly catalog: Catalog;
  readonly store: Store;
  readonly contract: ServerContract;
  readonly writes: CatalogWrite[];
  /** Called before each call; what it throws is what the caller gets. */
  onCall: (name: string) => void;
  stop(): Promise<void>;
}

/** A real catalog over a store in memory, behind the server contract, with failures where a test wants them. */
export async function startCatalogDatacenter(datacenter = 'dc1'): Promise<CatalogDatacenter> {
  const store = memoryStore();
  const catalog = createCatalog({ store, datacenter });
  await store.start(new AbortController().signal);
  const writes: CatalogWrite[] = [];
  const reads = catalog.reads as unknown as Record<
    string,
    { topics(args: unknown): readonly string[]; produce(args: unknown): unknown }
  >;
  const result: CatalogDatacenter = {
    catalog,
    store,
    writes,
    onCall: () => undefined,
    stop: () => store.stop(),
    contract: {
      async read(name: string, args: unknown) {
        result.onCall(name);
        return { value: reads[name]?.produce(args) };
      },
      async write(name: CatalogWrite['name'], args: CatalogWrite['args'], options: { readonly token?: string }) {
        result.onCall(name);
        if (name === 'catalog.register') await catalog.register(args);
        else await catalog.deregister(args);
        writes.push({ name, args, token: options.token });
        return { value: true, revision: store.revision };
      },
      async *watch(name: string, args: unknown, { signal }: { readonly signal: AbortSignal }) {
        const topics = reads[name]?.topics(args) ?? [];
        let index = 0;
        while (!signal.aborted) {
          index = await store.topics.wait(topics, index, signal);
          yield { index, value: reads[name]?.produce(args) };
        }
      },
    } as unknown as ServerContract,
  };
  return result;
}
