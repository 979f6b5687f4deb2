import type { Hello } from '../rpc/transport/handlers.ts';

/** A server of another datacenter (or another one of ours), as it told about itself. */
export interface Peer {
  readonly nodeId: string;
  /** What it last said. */
  hello: Hello;
  /** Links in either direction that live. */
  links: number;
  /** Smoothed round-trip time, milliseconds; kept while it is away. */
  rttMs: number | undefined;
  /** True once it said that it leaves for good. */
  left: boolean;
  /** When its last link ended, or when it was first met. */
  since: number;
}

/** Every server that was met, by node ID. */
export class Peers {
  readonly #byId = new Map<string, Peer>();
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get(nodeId: string): Peer | undefined {
    return this.#byId.get(nodeId);
  }

  all(): IterableIterator<Peer> {
    return this.#byId.values();
  }

  *aliveHellos(): Generator<Hello> {
    for (const peer of this.#byId.values()) if (peer.links > 0) yield peer.hello;
  }

  /** A link with the server began; returns what ends it. */
  linked(hello: Hello, now: number): (at: number) => void {
    const peer = this.#meet(hello, now);
    peer.links += 1;
    peer.left = false;
    peer.since = now;
    this.#onChange();
    let ended = false;
    return (at) => {
      if (ended) return;
      ended = true;
      peer.links -= 1;
      if (peer.links === 0) peer.since = at;
      this.#onChange();
    };
  }

  /** A server told news about itself. */
  update(hello: Hello, now: number): void {
    this.#meet(hello, now);
    this.#onChange();
  }

  markLeft(nodeId: string): void {
    const peer = this.#byId.get(nodeId);
    if (peer === undefined || peer.left) return;
    peer.left = true;
    this.#onChange();
  }

  /** Drops servers that have been away since before `before`; returns their node IDs. */
  forget(before: number): readonly string[] {
    const forgotten = [...this.#byId.values()]
      .filter((peer) => peer.links === 0 && peer.since < before)
      .map((peer) => peer.nodeId);
    for (const nodeId of forgotten) this.#byId.delete(nodeId);
    if (forgotten.length > 0) this.#onChange();
    return forgotten;
  }

  #meet(hello: Hello, now: number): Peer {
    const known = this.#byId.get(hello.nodeId);
    if (known !== undefined) {
      known.hello = hello;
      return known;
    }
    // A server that was set up anew under its old name replaces the old one.
    for (const peer of this.#byId.values()) {
      const { datacenter, node } = peer.hello;
      if (peer.links === 0 && datacenter === hello.datacenter && node === hello.node) this.#byId.delete(peer.nodeId);
    }
    const peer: Peer = { nodeId: hello.nodeId, hello, links: 0, rttMs: undefined, left: false, since: now };
    this.#byId.set(hello.nodeId, peer);
    return peer;
  }
}
