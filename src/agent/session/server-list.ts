import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { IsthmusError } from '../../lib/errors.ts';
import { keep } from '../../lib/kept-file.ts';
import type { Logger } from '../../telemetry/types.ts';

/** A server of the datacenter as the servers report it. */
export interface KnownServer {
  readonly node: string;
  readonly nodeId: string;
  /** `host:port` of its `server` listener. */
  readonly address: string;
}

export interface ServerListDeps {
  /** What the configuration names, as `host:port`. */
  readonly seeds: readonly string[];
  /** Where the list is kept over a restart; '' keeps it in memory only. */
  readonly dataDir: string;
  /** Chance in [0, 1): agents spread over the servers. */
  readonly random: () => number;
  readonly log: Logger;
}

const FILE = 'servers.json';
/** Servers that are remembered; a datacenter has a handful. */
const MAX_SERVERS = 64;

/**
 * The servers that an agent may turn to: those that a server has named, kept over a restart, so that it comes back
 * although the address that it joined by is gone; and those that its configuration names.
 */
export class ServerList {
  readonly #deps: ServerListDeps;
  readonly #file: string | undefined;
  readonly #seeds: Set<string>;
  /** By the source that named them. */
  readonly #found = new Map<string, readonly string[]>();
  #named: readonly KnownServer[];

  constructor(deps: ServerListDeps) {
    this.#deps = deps;
    this.#file = deps.dataDir === '' ? undefined : join(deps.dataDir, FILE);
    this.#seeds = new Set(deps.seeds);
    this.#named = this.#file === undefined ? [] : readServers(this.#file, deps.log);
  }

  get named(): readonly KnownServer[] {
    return this.#named;
  }

  /**
   * Addresses in the order to try them: those that a server named first, each kind in an order of its own making.
   * @param lost where the last session was lost: a server that hangs would take the time that the others need
   */
  candidates(lost = ''): readonly string[] {
    const named = this.#named.map(({ address }) => address);
    const all = [
      ...new Set([...this.#shuffled(named), ...this.#shuffled([...this.#seeds, ...[...this.#found.values()].flat()])]),
    ];
    return all.includes(lost) ? [...all.filter((address) => address !== lost), lost] : all;
  }

  /** Adds what an operator names. */
  add(address: string): void {
    this.#seeds.add(address);
  }

  /** Takes what a source finds now, in place of what it found before. */
  find(source: string, addresses: readonly string[]): void {
    this.#found.set(source, addresses.slice(0, MAX_SERVERS));
  }

  /** Takes over the list of a server; returns those that are new in it. */
  learn(servers: readonly KnownServer[]): readonly KnownServer[] {
    const list = servers.slice(0, MAX_SERVERS);
    const before = new Set(this.#named.map(({ address }) => address));
    const fresh = list.filter(({ address }) => !before.has(address));
    if (list.length === 0 || (fresh.length === 0 && list.length === this.#named.length)) return fresh;
    this.#named = list;
    this.#save();
    return fresh;
  }

  #save(): void {
    if (this.#file === undefined) return;
    try {
      keep(this.#file, JSON.stringify(this.#named, undefined, 2));
    } catch (error) {
      this.#deps.log.warn('the list of servers can’t be kept', { error: IsthmusError.from(error).message });
    }
  }

  #shuffled(list: readonly string[]): readonly string[] {
    return list
      .map((address) => ({ address, order: this.#deps.random() }))
      .sort((a, b) => a.order - b.order)
      .map(({ address }) => address);
  }
}

function readServers(file: string, log: Logger): readonly KnownServer[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return []; // the first start
  }
  try {
    const list = JSON.parse(text) as readonly Partial<KnownServer>[];
    return list.flatMap(({ node, nodeId, address }) =>
      typeof address === 'string' ? [{ node: String(node), nodeId: String(nodeId), address }] : [],
    );
  } catch {
    log.warn('the list of servers from before can’t be read', { file });
    return [];
  }
}
