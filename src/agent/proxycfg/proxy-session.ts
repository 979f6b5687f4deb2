import { IsthmusError } from '../../lib/errors.ts';
import { abortReason, type LinkedSignal } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { CaRoots, LeafCert } from '../../model/ca.ts';
import type { Verdicts } from '../../model/intention.ts';
import type { SidecarConfig, SidecarEndpoint, SidecarLeaf, SidecarRoots, SidecarUpdate } from '../../model/sidecar.ts';
import type { LeafManager } from '../cache/leaf-manager.ts';
import type { RootsSource } from '../cache/roots-cache.ts';
import type { WatchPool } from '../cache/watch-pool.ts';
import type { UpstreamResolver, UpstreamState } from './upstream-resolver.ts';
import type { VerifierHandle } from './verifiers.ts';

export interface ProxySessionDeps {
  readonly pool: Pick<WatchPool, 'follow'>;
  readonly roots: RootsSource;
  readonly leaves: Pick<LeafManager, 'watch'>;
  readonly resolver: UpstreamResolver;
  readonly verifier: VerifierHandle;
  readonly tasks: TaskGroup;
  /** The sidecar's configuration now, with the defaults of all proxies; throws when its proxy is gone. */
  readonly configOf: (defaults: Readonly<Record<string, unknown>>) => SidecarConfig;
  readonly onLocalChange: (listener: () => void) => () => void;
  readonly token?: string;
}

interface FollowedUpstream {
  state: UpstreamState | undefined;
  /** The state that the sidecar was told last. */
  told: UpstreamState | undefined;
  readonly end: () => void;
}

/** What has changed since the last update. */
interface Dirty {
  config: boolean;
  roots: boolean;
  leaf: boolean;
  verdicts: boolean;
  readonly upstreams: Set<string>;
}

/** Versions whose roots are remembered until they are acknowledged. */
const MAX_UNACKNOWLEDGED = 256;

/** One sidecar's stream: everything first, once all of it is known, then only what changed. */
export class ProxySession {
  readonly #deps: ProxySessionDeps;
  readonly #life: LinkedSignal;
  readonly #undo: (() => void)[] = [];
  readonly #upstreams = new Map<string, FollowedUpstream>();
  readonly #rootsSent: { readonly version: number; readonly ids: readonly string[] }[] = [];
  readonly #dirty: Dirty = { config: false, roots: false, leaf: false, verdicts: false, upstreams: new Set() };
  #version = 0;
  #sent = false;
  #defaults: Readonly<Record<string, unknown>> | undefined;
  #config: SidecarConfig;
  #leaf: SidecarLeaf | undefined;
  #verdicts: Verdicts | undefined;
  #failure: IsthmusError | undefined;
  #wake: (() => void) | undefined;

  /** @param life ends the session when it aborts; the session aborts it when it ends by itself. */
  constructor(deps: ProxySessionDeps, life: LinkedSignal) {
    this.#deps = deps;
    this.#life = life;
    this.#config = deps.configOf({});
    life.signal.addEventListener('abort', () => this.#close(), { once: true });
    this.#follow();
  }

  get config(): SidecarConfig {
    return this.#config;
  }

  /** The updates; to be read once. Ends with an error when the session can't go on. */
  async *updates(): AsyncGenerator<SidecarUpdate, void, void> {
    try {
      for (;;) {
        const update = this.#next();
        if (update !== undefined) {
          yield update;
          continue;
        }
        if (this.#failure !== undefined) throw this.#failure;
        if (this.#life.signal.aborted) throw abortReason(this.#life.signal);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      this.#life.abort(new IsthmusError('cancelled', 'the sidecar stopped following'));
    }
  }

  /** Everything up to `version` is in effect in the sidecar. */
  acknowledge(version: number): void {
    let newest: readonly string[] | undefined;
    while (this.#rootsSent[0] !== undefined && this.#rootsSent[0].version <= version)
      newest = this.#rootsSent.shift()?.ids;
    if (newest !== undefined && !this.#life.signal.aborted) this.#deps.verifier.holds(newest);
  }

  #follow(): void {
    const { pool, roots, leaves, tasks, token } = this.#deps;
    const { service } = this.#config;
    const { signal } = this.#life;
    const options = token === undefined ? {} : { token };
    this.#undo.push(
      this.#deps.onLocalChange(() => this.#reconfigure()),
      roots.held.subscribe(() => this.#mark('roots')),
      pool.follow('config.list', { kind: 'proxy-defaults' }, options, ({ value }) => {
        const entry = value?.find(({ Name }) => Name === 'global');
        this.#defaults = (entry?.Config as Readonly<Record<string, unknown>> | undefined) ?? {};
        this.#reconfigure();
      }),
      pool.follow('intentions.verdicts', { destination: service }, options, ({ value }) => {
        if (value === undefined || value === this.#verdicts) return; // what was last known stays in force
        this.#verdicts = value;
        this.#mark('verdicts');
      }),
    );
    tasks.run(`leaf of ${service}`, async () => {
      try {
        for await (const leaf of leaves.watch(service, signal, token)) {
          this.#leaf = sidecarLeaf(leaf);
          this.#mark('leaf');
        }
      } catch (error) {
        if (!signal.aborted) this.#fail(IsthmusError.from(error));
      }
    });
    this.#followUpstreams();
  }

  #reconfigure(): void {
    if (this.#life.signal.aborted) return;
    let config: SidecarConfig;
    try {
      config = this.#deps.configOf(this.#defaults ?? {});
    } catch (error) {
      this.#fail(IsthmusError.from(error));
      return;
    }
    if (config.service !== this.#config.service) {
      this.#fail(new IsthmusError('unavailable', 'the proxy now belongs to another service; open the stream again'));
      return;
    }
    if (JSON.stringify(config) !== JSON.stringify(this.#config)) {
      this.#config = config;
      this.#followUpstreams();
      this.#mark('config');
    } else this.#wake?.();
  }

  #followUpstreams(): void {
    const { resolver, token } = this.#deps;
    const wanted = new Map(this.#config.upstreams.map((upstream) => [upstream.key, upstream]));
    for (const [key, followed] of this.#upstreams) {
      if (wanted.has(key)) continue;
      followed.end();
      this.#upstreams.delete(key);
      this.#dirty.upstreams.delete(key);
    }
    for (const [key, upstream] of wanted) {
      if (this.#upstreams.has(key)) continue;
      let early: UpstreamState | undefined;
      let followed: FollowedUpstream | undefined;
      const end = resolver.follow(upstream, token === undefined ? {} : { token }, (state) => {
        if (followed === undefined) early = state;
        else this.#onUpstream(key, followed, state);
      });
      followed = { state: undefined, told: undefined, end };
      this.#upstreams.set(key, followed);
      if (early !== undefined) this.#onUpstream(key, followed, early);
    }
  }

  #onUpstream(key: string, followed: FollowedUpstream, state: UpstreamState): void {
    if (this.#upstreams.get(key) !== followed) return;
    const before = followed.state;
    followed.state = state;
    if (before === undefined || JSON.stringify(before) !== JSON.stringify(state)) this.#markUpstream(key);
  }

  #mark(part: 'config' | 'roots' | 'leaf' | 'verdicts'): void {
    this.#dirty[part] = true;
    this.#wake?.();
  }

  #markUpstream(key: string): void {
    this.#dirty.upstreams.add(key);
    this.#wake?.();
  }

  #fail(error: IsthmusError): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  /** The next update, if there is one to send. */
  #next(): SidecarUpdate | undefined {
    const roots = this.#deps.roots.held.current?.value;
    if (!this.#sent) return this.#isComplete(roots) ? this.#take(roots, true) : undefined;
    const { config, roots: rootsChanged, leaf, verdicts, upstreams } = this.#dirty;
    if (!config && !rootsChanged && !leaf && !verdicts && upstreams.size === 0) return undefined;
    return this.#take(roots, false);
  }

  #isComplete(roots: CaRoots | undefined): boolean {
    if (roots === undefined || this.#leaf === undefined || this.#verdicts === undefined) return false;
    if (this.#defaults === undefined) return false;
    for (const { state } of this.#upstreams.values()) if (state === undefined) return false;
    return true;
  }

  #take(roots: CaRoots | undefined, all: boolean): SidecarUpdate {
    const dirty = this.#dirty;
    this.#version += 1;
    const endpoints: Record<string, readonly SidecarEndpoint[]> = {};
    const problems: Record<string, string> = {};
    for (const key of all ? this.#upstreams.keys() : dirty.upstreams) {
      const followed = this.#upstreams.get(key);
      if (followed?.state === undefined) continue;
      const { state, told } = followed;
      if (state.endpoints !== undefined && state.endpoints !== told?.endpoints) endpoints[key] = state.endpoints;
      if (state.problem !== (told?.problem ?? '')) problems[key] = state.problem;
      followed.told = state;
    }
    const withRoots = (all || dirty.roots) && roots !== undefined;
    const update: SidecarUpdate = {
      version: this.#version,
      ...(all || dirty.config ? { config: this.#config } : {}),
      ...(withRoots ? { roots: sidecarRoots(roots) } : {}),
      ...((all || dirty.leaf) && this.#leaf !== undefined ? { leaf: this.#leaf } : {}),
      ...((all || dirty.verdicts) && this.#verdicts !== undefined ? { verdicts: this.#verdicts } : {}),
      ...(all || Object.keys(endpoints).length > 0 ? { endpoints } : {}),
      ...(Object.keys(problems).length > 0 ? { problems } : {}),
    };
    if (withRoots) {
      this.#rootsSent.push({ version: this.#version, ids: roots.Roots.map((root) => root.ID) });
      if (this.#rootsSent.length > MAX_UNACKNOWLEDGED) this.#rootsSent.shift();
    }
    this.#sent = true;
    dirty.config = false;
    dirty.roots = false;
    dirty.leaf = false;
    dirty.verdicts = false;
    dirty.upstreams.clear();
    return update;
  }

  #close(): void {
    for (const undo of this.#undo.splice(0)) undo();
    for (const { end } of this.#upstreams.values()) end();
    this.#upstreams.clear();
    this.#deps.verifier.leave();
    this.#life.release();
    this.#wake?.();
  }
}

function sidecarRoots(roots: CaRoots): SidecarRoots {
  return {
    trustDomain: roots.TrustDomain,
    activeRootId: roots.ActiveRootID,
    roots: roots.Roots.map((root) => ({ id: root.ID, pem: root.RootCert })),
  };
}

function sidecarLeaf(leaf: LeafCert): SidecarLeaf {
  return {
    certPem: leaf.CertPEM,
    keyPem: leaf.PrivateKeyPEM,
    uri: leaf.ServiceURI,
    validAfter: leaf.ValidAfter,
    validBefore: leaf.ValidBefore,
  };
}
