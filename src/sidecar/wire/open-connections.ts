import type { Peer } from './peer.ts';

/** Something open that a change can end. */
export interface OpenConnection {
  readonly peer: Peer;
  /** Ends it at once, as a reset. */
  abort(): void;
}

/** What is open, by peer: a change looks at each peer once, not at each connection. */
export class OpenConnections {
  readonly #byPeer = new Map<Peer, Set<OpenConnection>>();
  #size = 0;
  #onEmpty: (() => void)[] = [];

  get size(): number {
    return this.#size;
  }

  peers(): readonly Peer[] {
    return [...this.#byPeer.keys()];
  }

  add(connection: OpenConnection): void {
    const of = this.#byPeer.get(connection.peer);
    if (of === undefined) this.#byPeer.set(connection.peer, new Set([connection]));
    else if (of.has(connection)) return;
    else of.add(connection);
    this.#size += 1;
  }

  remove(connection: OpenConnection): void {
    const of = this.#byPeer.get(connection.peer);
    if (of?.delete(connection) !== true) return;
    if (of.size === 0) this.#byPeer.delete(connection.peer);
    this.#size -= 1;
    if (this.#size === 0) for (const resolve of this.#onEmpty.splice(0)) resolve();
  }

  /** Aborts all connections with the peers that `forbidden` picks; returns how many. */
  abortWhere(forbidden: (peer: Peer) => boolean): number {
    let count = 0;
    for (const [peer, of] of [...this.#byPeer]) {
      if (!forbidden(peer)) continue;
      for (const connection of [...of]) {
        count += 1;
        this.remove(connection);
        connection.abort();
      }
    }
    return count;
  }

  /** Resolves once nothing is open. */
  empty(): Promise<void> {
    if (this.#size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty.push(resolve));
  }
}
