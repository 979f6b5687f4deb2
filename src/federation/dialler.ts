import type { Clock } from '../lib/clock.ts';
import { linkSignals } from '../lib/signals.ts';
import type { TaskGroup } from '../lib/task.ts';
import type { Hello } from '../rpc/transport/handlers.ts';
import { formatAddress, isDialable, isWanAddress } from './address.ts';
import { isUsable } from './link-state.ts';
import { type LinkCarrier, OutgoingLink, type OutgoingLinkDeps } from './outgoing-link.ts';
import type { LinkStatus } from './types.ts';

export interface DiallerDeps extends Omit<OutgoingLinkDeps, 'address' | 'servedElsewhere'> {
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
  readonly stop: () => void;
}

/** The links that this server dials: to the addresses of its configuration, and to the servers that others tell of. */
export class Dialler {
  readonly #deps: DiallerDeps;
  readonly #links = new Map<string, Dialled>();

  constructor(deps: DiallerDeps) {
    this.#deps = deps;
  }

  *links(): Generator<OutgoingLink> {
    for (const { link } of this.#links.values()) yield link;
  }

  /** Dials an address unless it is dialled already. */
  dial(address: string, seed: boolean, nodeId?: string): OutgoingLink {
    const known = this.#links.get(address);
    if (known !== undefined) {
      known.seed ||= seed;
      return known.link;
    }
    const { tasks } = this.#deps;
    const servedElsewhere = (id: string): boolean => this.#servedElsewhere(id, address);
    const link = new OutgoingLink({ ...this.#deps, address, servedElsewhere }, nodeId);
    const life = linkSignals(tasks.signal);
    const stop = (): void => {
      this.#links.delete(address);
      life.abort();
    };
    this.#links.set(address, { link, seed, stop });
    tasks.run(`link to ${address}`, async () => {
      try {
        await link.run(life.signal);
      } finally {
        life.release();
      }
    });
    return link;
  }

  /** Dials the server that said Hello and those that it knows. */
  learn(hello: Hello): void {
    this.#dialServer(hello);
    for (const server of hello.servers.slice(0, MAX_SERVERS)) this.#dialServer(server);
  }

  /** No longer dials a server that nobody named in the configuration. */
  forget(nodeId: string): void {
    for (const { link, seed, stop } of this.#links.values()) if (!seed && link.nodeId === nodeId) stop();
  }

  /** The best link to a datacenter: up before suspect, then the nearest. */
  pick(datacenter: string, except?: LinkCarrier): LinkCarrier | undefined {
    let best: { carrier: LinkCarrier; cost: number } | undefined;
    for (const { link } of this.#links.values()) {
      const { carrier } = link;
      if (carrier === undefined || carrier === except || this.#helloOf(link)?.datacenter !== datacenter) continue;
      const cost = (link.rttMs ?? UNMEASURED_MS) + (link.state.kind === 'suspect' ? SUSPECT_MS : 0);
      if (best === undefined || cost < best.cost) best = { carrier, cost };
    }
    return best?.carrier;
  }

  /** True when a link to the datacenter was lost less than `ms` ago. */
  justLost(datacenter: string, ms: number): boolean {
    const from = this.#deps.clock.now() - ms;
    for (const { link } of this.#links.values())
      if ((link.downSince ?? 0) > from && this.#helloOf(link)?.datacenter === datacenter) return true;
    return false;
  }

  /** Servers that are reached now. */
  *reached(): Generator<Hello> {
    for (const { link } of this.#links.values()) {
      const hello = isUsable(link.state) ? this.#helloOf(link) : undefined;
      if (hello !== undefined) yield hello;
    }
  }

  status(): readonly LinkStatus[] {
    return [...this.#links.values()].map(({ link }) => {
      const hello = this.#helloOf(link);
      return {
        address: link.address,
        nodeId: link.nodeId ?? '',
        node: hello?.node ?? '',
        datacenter: hello?.datacenter ?? '',
        rttMs: link.rttMs,
        state: link.state,
      };
    });
  }

  #helloOf(link: OutgoingLink): Hello | undefined {
    return link.nodeId === undefined ? undefined : this.#deps.peers.get(link.nodeId)?.hello;
  }

  #servedElsewhere(nodeId: string, address: string): boolean {
    for (const { link } of this.#links.values())
      if (link.address !== address && link.nodeId === nodeId && isUsable(link.state)) return true;
    return false;
  }

  #dialServer({ nodeId, datacenter, wan }: Pick<Hello, 'nodeId' | 'datacenter' | 'wan'>): void {
    if (nodeId === this.#deps.nodeId || datacenter === this.#deps.datacenter || wan === undefined) return;
    const where = { address: wan.host, port: wan.port };
    if (!isDialable(where)) return;
    const address = formatAddress(where);
    if (!isWanAddress(address)) return;
    for (const { link, seed, stop } of this.#links.values()) {
      if (!seed && link.nodeId === nodeId && link.address !== address && !isUsable(link.state)) stop(); // it has moved
    }
    this.dial(address, false, nodeId);
  }
}

/** Servers that one Hello may tell of. */
const MAX_SERVERS = 256;
/** What a link counts for before its first measurement, and on top of it while it is suspect; milliseconds. */
const UNMEASURED_MS = 1_000;
const SUSPECT_MS = 1e9;
