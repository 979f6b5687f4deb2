import type { Clock } from '../lib/clock.ts';
import { PerKeyLimit, type Slot } from '../lib/per-key-limit.ts';
import { linkSignals, sleep } from '../lib/signals.ts';
import type { TaskGroup } from '../lib/task.ts';
import type { Hello } from '../rpc/transport/handlers.ts';
import { type NamedServer, othersNamed, ownAddress } from './hello.ts';
import { isUsable } from './link-state.ts';
import { type LinkCarrier, OutgoingLink, type OutgoingLinkDeps, type Teller } from './outgoing-link.ts';
import { peerKey } from './peers.ts';
import type { LinkStatus } from './types.ts';

export interface DiallerDeps extends Omit<OutgoingLinkDeps, 'address' | 'servedElsewhere' | 'onAnswer' | 'hearsay'> {
  readonly clock: Clock;
  readonly tasks: TaskGroup;
  /** Never dialled, whoever names it. */
  readonly nodeId: string;
  readonly datacenter: string;
}

interface Dialled {
  readonly link: OutgoingLink;
  /** True when an operator named the address: it is dialled for ever. */
  seed: boolean;
  /** Links that name it now. */
  readonly tellers: Set<Teller>;
  /** Until a server has answered there. */
  slot: Slot | undefined;
  readonly stop: () => void;
}

/** Addresses that were named and have not answered yet: for what each datacenter's servers name, and in all. */
const MAX_UNANSWERED_OF_ONE = 64;
const MAX_UNANSWERED = 256;
/** A withdrawn one counts for so long, milliseconds. */
const WITHDRAWN_MS = 10_000;

/** The links that this server dials: to the addresses of its configuration, and to the servers that others name. */
export class Dialler {
  readonly #deps: DiallerDeps;
  readonly #links = new Map<string, Dialled>();
  readonly #unanswered = new PerKeyLimit({ perKey: MAX_UNANSWERED_OF_ONE, total: MAX_UNANSWERED });

  constructor(deps: DiallerDeps) {
    this.#deps = deps;
  }

  *links(): Generator<OutgoingLink> {
    for (const { link } of this.#links.values()) yield link;
  }

  /** Dials an address of the configuration, or of an operator, unless it is dialled already. */
  dial(address: string): OutgoingLink {
    const known = this.#links.get(address) ?? this.#start(address, undefined, undefined);
    known.seed = true;
    known.slot?.release();
    return known.link;
  }

  /** Dials the server that said Hello and those that it names, and no longer those that it named before. */
  learn(teller: Teller, hello: Hello): void {
    const own = ownAddress(hello);
    if (own !== undefined) this.#moved(own);
    const named = [...(own === undefined ? [] : [own]), ...othersNamed(hello)].filter((one) => this.#isOther(one));
    this.#withdraw(teller, new Set(named.map(({ address }) => address)));
    for (const server of named) this.#name(server, teller, hello.datacenter);
  }

  /** The link has ended: forgets addresses that only it named and that never answered. */
  forgetTeller(teller: Teller): void {
    this.#withdraw(teller, new Set());
  }

  /** No longer dials a server that the configuration does not name. @param key as of peers */
  forget(key: string): void {
    for (const { link, seed, stop } of this.#links.values()) if (!seed && link.key === key) stop();
  }

  /** The best link to a datacenter: up before suspect, then the nearest. */
  pick(datacenter: string, except?: LinkCarrier): LinkCarrier | undefined {
    let best: { carrier: LinkCarrier; cost: number } | undefined;
    for (const { link } of this.#links.values()) {
      const { carrier } = link;
      if (carrier === undefined || carrier === except || link.hello?.datacenter !== datacenter) continue;
      const cost = (link.rttMs ?? UNMEASURED_MS) + (link.state.kind === 'suspect' ? SUSPECT_MS : 0);
      if (best === undefined || cost < best.cost) best = { carrier, cost };
    }
    return best?.carrier;
  }

  /** True when a link to the datacenter was lost less than `ms` ago. */
  justLost(datacenter: string, ms: number): boolean {
    const from = this.#deps.clock.steady() - ms;
    for (const { link } of this.#links.values())
      if (link.downSince !== undefined && link.downSince > from && link.hello?.datacenter === datacenter) return true;
    return false;
  }

  /** Servers that are reached now. */
  *reached(): Generator<Hello> {
    for (const { link } of this.#links.values()) if (link.hello !== undefined && isUsable(link.state)) yield link.hello;
  }

  status(): readonly LinkStatus[] {
    return [...this.#links.values()].map(({ link }) => ({
      address: link.address,
      nodeId: link.hello?.nodeId ?? '',
      node: link.hello?.node ?? '',
      datacenter: link.hello?.datacenter ?? '',
      rttMs: link.rttMs,
      state: link.state,
    }));
  }

  #start(address: string, expected: string | undefined, slot: Slot | undefined): Dialled {
    const { tasks } = this.#deps;
    const servedElsewhere = (key: string): boolean => this.#servedElsewhere(key, address);
    const onAnswer = (): void => slot?.release();
    const hearsay = (): boolean => !dialled.seed;
    const link = new OutgoingLink({ ...this.#deps, address, servedElsewhere, onAnswer, hearsay }, expected);
    const life = linkSignals(tasks.signal);
    const stop = (): void => {
      this.#links.delete(address);
      life.abort();
      if (link.hello === undefined && slot !== undefined) this.#releaseLater(slot);
      else slot?.release();
    };
    const dialled: Dialled = { link, seed: false, tellers: new Set(), slot, stop };
    this.#links.set(address, dialled);
    tasks.run(`link to ${address}`, async () => {
      try {
        await link.run(life.signal);
      } finally {
        life.release();
      }
    });
    return dialled;
  }

  /** Whoever names others all the time must not make this server dial all the time. */
  #releaseLater(slot: Slot): void {
    const { tasks, clock } = this.#deps;
    tasks.run('an address that was withdrawn', async (signal) => {
      await sleep(clock, WITHDRAWN_MS, signal).finally(() => slot.release());
    });
  }

  #servedElsewhere(key: string, address: string): boolean {
    for (const { link } of this.#links.values())
      if (link.address !== address && link.key === key && isUsable(link.state)) return true;
    return false;
  }

  #isOther({ datacenter, nodeId }: NamedServer): boolean {
    return nodeId !== this.#deps.nodeId && datacenter !== this.#deps.datacenter;
  }

  /** A server that speaks for itself has moved: it is not looked for where it was. */
  #moved({ datacenter, nodeId, address }: NamedServer): void {
    const key = peerKey({ datacenter, nodeId });
    for (const { link, seed, stop } of this.#links.values())
      if (!seed && link.key === key && link.address !== address && !isUsable(link.state)) stop();
  }

  /** @param of whose servers name it: they share what may be unanswered */
  #name(server: NamedServer, teller: Teller, of: string): void {
    let dialled = this.#links.get(server.address);
    if (dialled === undefined) {
      const slot = this.#unanswered.admit(of);
      if (slot === undefined) return;
      dialled = this.#start(server.address, peerKey(server), slot);
    }
    dialled.tellers.add(teller);
  }

  #withdraw(teller: Teller, wanted: ReadonlySet<string>): void {
    for (const { link, seed, tellers, stop } of this.#links.values()) {
      if (wanted.has(link.address) || !tellers.delete(teller)) continue;
      if (!seed && tellers.size === 0 && link.hello === undefined) stop();
    }
  }
}

/** What a link counts for before its first measurement, and on top of it while it is suspect; milliseconds. */
const UNMEASURED_MS = 1_000;
const SUSPECT_MS = 1e9;
