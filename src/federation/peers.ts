import type { Hello } from '../rpc/transport/handlers.ts';

/** A server of another datacenter (or another one of ours), as it speaks for itself. */
export interface Peer {
  readonly key: string;
  /** What it last said: where this server dialled it, else where it dialled. */
  readonly hello: Hello;
  /** Links in either direction that live. */
  readonly links: number;
  /** Smoothed round-trip time, milliseconds; kept while it is away. */
  rttMs: number | undefined;
  /** True once it said that it leaves for good. */
  readonly left: boolean;
}

/** A living link's share in what is known of the server behind it. */
export interface PeerLink {
  readonly peer: Peer;
  /** The server said news about itself. */
  update(hello: Hello): void;
  /** The server says that it leaves for good. */
  leaving(): void;
  end(at: number): void;
}

/** Servers that are remembered of one datacenter; a datacenter has a handful. */
const MAX_OF_DATACENTER = 64;
const MAX_PEERS = 1_024;

interface Said {
  hello: Hello;
  readonly dialled: boolean;
}

class KnownPeer implements Peer {
  readonly key: string;
  /** By living link, in the order of their beginning. */
  readonly said = new Set<Said>();
  hello: Hello;
  rttMs: number | undefined;
  left = false;
  /** When its last link ended, or when it was first met. */
  since: number;
  /** True once it answered where this server dialled it: only then it is remembered after its links. */
  answered = false;

  constructor(hello: Hello, now: number) {
    this.key = peerKey(hello);
    this.hello = hello;
    this.since = now;
  }

  get links(): number {
    return this.said.size;
  }

  /** What it says where it was dialled goes before what somebody says who dialled. */
  refresh(): void {
    const all = [...this.said].reverse();
    this.hello = (all.find(({ dialled }) => dialled) ?? all[0])?.hello ?? this.hello;
  }
}

/**
 * A server is known by its datacenter, which its certificate proves, and its ID within it. So a server of one
 * datacenter is never taken for one of another, whatever ID it claims.
 */
export function peerKey({ datacenter, nodeId }: Pick<Hello, 'datacenter' | 'nodeId'>): string {
  return `${datacenter}/${nodeId.toLowerCase()}`;
}

/** Every server that was met. */
export class Peers {
  readonly #byKey = new Map<string, KnownPeer>();
  readonly #onChange: () => void;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get(key: string): Peer | undefined {
    return this.#byKey.get(key);
  }

  all(): IterableIterator<Peer> {
    return this.#byKey.values();
  }

  *aliveHellos(): Generator<Hello> {
    for (const peer of this.#byKey.values()) if (peer.links > 0) yield peer.hello;
  }

  /**
   * A link with the server began.
   * @param dialled this server dialled it
   * @returns undefined when as many servers of its datacenter are known as are remembered, and all of them live
   */
  linked(hello: Hello, now: number, dialled: boolean): PeerLink | undefined {
    const peer = this.#meet(hello, now);
    if (peer === undefined) return undefined;
    const said: Said = { hello, dialled };
    peer.said.add(said);
    peer.answered ||= dialled;
    peer.left = false;
    peer.since = now;
    peer.refresh();
    this.#onChange();
    return {
      peer,
      update: (news) => {
        said.hello = news;
        peer.refresh();
        this.#onChange();
      },
      leaving: () => this.markLeft(peer.key),
      end: (at) => {
        if (!peer.said.delete(said)) return;
        peer.refresh();
        if (peer.links === 0) peer.since = at;
        if (peer.links === 0 && !peer.answered) this.#forget(peer);
        this.#onChange();
      },
    };
  }

  markLeft(key: string): void {
    const peer = this.#byKey.get(key);
    if (peer === undefined || peer.left) return;
    peer.left = true;
    this.#onChange();
  }

  /** Drops servers that have been away since before `before`; returns their keys. */
  forget(before: number): readonly string[] {
    const forgotten = [...this.#byKey.values()].filter((peer) => peer.links === 0 && peer.since < before);
    for (const peer of forgotten) this.#forget(peer);
    if (forgotten.length > 0) this.#onChange();
    return forgotten.map(({ key }) => key);
  }

  #meet(hello: Hello, now: number): KnownPeer | undefined {
    const known = this.#byKey.get(peerKey(hello));
    if (known !== undefined) return known;
    const { datacenter, node } = hello;
    const others = [...this.#byKey.values()].filter((peer) => peer.hello.datacenter === datacenter);
    // A server that was set up anew under its old name replaces the old one.
    for (const other of others) if (other.links === 0 && other.hello.node === node) this.#forget(other);
    if (others.length >= MAX_OF_DATACENTER && !this.#makeRoom(others)) return undefined;
    if (this.#byKey.size >= MAX_PEERS && !this.#makeRoom([...this.#byKey.values()])) return undefined;
    const peer = new KnownPeer(hello, now);
    this.#byKey.set(peer.key, peer);
    return peer;
  }

  /** Forgets the one that has been away for longest. */
  #makeRoom(among: readonly KnownPeer[]): boolean {
    const away = among.filter((peer) => peer.links === 0).sort((a, b) => a.since - b.since);
    for (const peer of away) if (this.#forget(peer)) return true;
    return false;
  }

  /** @returns whether it was still known */
  #forget(peer: KnownPeer): boolean {
    return this.#byKey.get(peer.key) === peer && this.#byKey.delete(peer.key);
  }
}
