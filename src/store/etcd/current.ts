import { setMaxListeners } from 'node:events';
import { IsthmusError } from '../../lib/errors.ts';
import type { EtcdClient } from './client.ts';
import type { Head, Layout } from './head.ts';
import { askHead, loadHead } from './heads.ts';

/** The store as this process knows it: which generation counts, until etcd says otherwise. */
export class CurrentHead {
  readonly layout: Layout;
  readonly #client: EtcdClient;
  #head: Head;
  #replaced = new AbortController();

  constructor(client: EtcdClient, layout: Layout, head: Head) {
    this.#client = client;
    this.layout = layout;
    this.#head = head;
    setMaxListeners(0, this.#replaced.signal);
  }

  get value(): Head {
    return this.#head;
  }

  /** Aborts when another head counts. */
  get replaced(): AbortSignal {
    return this.#replaced.signal;
  }

  /** etcd's newest revision, known to all members. Takes up another head on the way. */
  async newest(): Promise<number> {
    const { kv, revision } = await askHead(this.#client, this.layout);
    if (kv === undefined) {
      throw new IsthmusError(
        'internal',
        `the store below ${this.layout.root} is gone from etcd: restore its data, then start this server again`,
      );
    }
    if (Number(kv.modRevision) > this.#head.since) {
      const next = await loadHead(this.#client, this.layout, kv);
      if (next.since > this.#head.since) this.#take(next);
    }
    return revision;
  }

  #take(next: Head): void {
    this.#head = next;
    const replaced = this.#replaced;
    this.#replaced = new AbortController();
    setMaxListeners(0, this.#replaced.signal); // each watch has one
    replaced.abort();
  }
}
