import type { NodeService } from '../../../model/catalog.ts';
import type { Verdicts } from '../../../model/intention.ts';
import { isRequestProtocol } from '../../../model/layer7/route-table.ts';
import type { SidecarConfig } from '../../../model/sidecar.ts';
import type { UpstreamState } from '../upstream-resolver.ts';
import { type Callers, FollowedCallers } from './callers.ts';
import { centralConfig } from './central-config.ts';
import { type FollowedEntries, followEntries } from './central-entries.ts';
import { gatewayModes, protocolOf, sidecarConfig } from './connect-proxy-config.ts';
import type { FollowedKind, KindContext, KindPart, ProxyKind } from './kind.ts';
import { Permissions } from './permissions.ts';

interface FollowedUpstream {
  state: UpstreamState | undefined;
  readonly end: () => void;
}

/** The sidecar of a service: its upstreams, and who may connect to it. */
export const connectProxy: ProxyKind = {
  kind: 'connect-proxy',
  serviceOf: (proxy) => proxy.Proxy.DestinationServiceName ?? '',
  follow: (context) => new FollowedConnectProxy(context),
};

class FollowedConnectProxy implements FollowedKind {
  readonly #context: KindContext;
  readonly #undo: (() => void)[] = [];
  readonly #upstreams = new Map<string, FollowedUpstream>();
  readonly #permissions: Permissions;
  readonly #gatewaysTold = new Set<string>();
  #callers: FollowedCallers | undefined;
  #entries: FollowedEntries | undefined;
  #config: SidecarConfig;
  #verdicts: Verdicts | undefined;
  /** The present part; undefined once something changed. */
  #part: KindPart | undefined;
  /** The newest part there was: what is equal to it stays the same object. */
  #last: KindPart | undefined;

  constructor(context: KindContext) {
    this.#context = context;
    this.#config = this.#configNow();
    const { pool, token, datacenter } = context;
    this.#permissions = new Permissions({
      pool,
      source: { service: this.#config.service, datacenter },
      ...(token === undefined ? {} : { token }),
      changed: () => this.#changed(),
    });
    const options = token === undefined ? {} : { token };
    this.#entries = followEntries(pool, this.#config.service, token, () => {
      if (this.#entries === undefined) return; // what is known at once is asked for below
      this.reconfigure();
      this.#changed();
    });
    this.reconfigure();
    this.#undo.push(
      () => this.#entries?.close(),
      pool.follow('intentions.verdicts', { destination: this.#config.service }, options, ({ value }) => {
        if (value === undefined || value === this.#verdicts) return; // what was last known stays in force
        this.#verdicts = value;
        this.#changed();
      }),
    );
    this.#followUpstreams();
  }

  part(): KindPart | undefined {
    if (this.#part === undefined) {
      this.#part = this.#make();
      this.#last = this.#part ?? this.#last;
    }
    return this.#part;
  }

  reconfigure(): void {
    const config = this.#configNow();
    if (JSON.stringify(config) === JSON.stringify(this.#config)) return;
    this.#config = config;
    this.#followUpstreams();
    this.#changed();
  }

  close(): void {
    for (const undo of this.#undo.splice(0)) undo();
    for (const { end } of this.#upstreams.values()) end();
    this.#upstreams.clear();
    this.#permissions.close();
    this.#callers?.close();
  }

  #configNow(): SidecarConfig {
    const registration: NodeService = this.#context.registration();
    for (const [upstream, mode] of gatewayModes(registration)) {
      if (!this.#gatewaysTold.has(upstream)) this.#context.onGateway(upstream, mode);
      this.#gatewaysTold.add(upstream);
    }
    return sidecarConfig(registration, this.#context, centralConfig(this.#entries?.current()));
  }

  #make(): KindPart | undefined {
    const entries = this.#entries?.current();
    if (this.#verdicts === undefined || entries === undefined) return undefined;
    const upstreams = new Map<string, UpstreamState>();
    const refused = new Map<string, readonly string[]>();
    for (const { key } of this.#config.upstreams) {
      const state = this.#upstreams.get(key)?.state;
      if (state === undefined) return undefined;
      upstreams.set(key, state);
      const names = this.#permissions.refused(state.targets);
      if (names.length > 0) refused.set(key, names);
    }
    const protocol = protocolOf(this.#config);
    const callers = isRequestProtocol(protocol) ? undefined : this.#callersOf(this.#verdicts);
    return {
      kind: 'connect-proxy',
      config: this.#config,
      protocol,
      ...(callers === undefined ? {} : { callers }),
      entries,
      verdicts: this.#verdicts,
      upstreams: kept(this.#last?.upstreams, upstreams, Object.is),
      refused: kept(this.#last?.refused, refused, sameNames),
    };
  }

  #callersOf(verdicts: Verdicts): Callers | undefined {
    const { callers: listed, pool, proxyId, datacenter, token } = this.#context;
    if (listed === undefined || this.#config.listen === undefined) return undefined;
    this.#callers ??= new FollowedCallers({
      ...{ pool, listed, proxyId, datacenter },
      ...(token === undefined ? {} : { token }),
      changed: () => this.#changed(),
    });
    return this.#callers.current(verdicts);
  }

  #followUpstreams(): void {
    const { resolver, token } = this.#context;
    const wanted = new Map(this.#config.upstreams.map((upstream) => [upstream.key, upstream]));
    for (const [key, followed] of this.#upstreams) {
      if (wanted.has(key)) continue;
      followed.end();
      this.#upstreams.delete(key);
    }
    for (const [key, upstream] of wanted) {
      if (this.#upstreams.has(key)) continue;
      let early: UpstreamState | undefined;
      let followed: FollowedUpstream | undefined;
      const end = resolver.follow(upstream, token === undefined ? {} : { token }, (state) => {
        if (followed === undefined) early = state;
        else this.#onUpstream(key, followed, state);
      });
      followed = { state: undefined, end };
      this.#upstreams.set(key, followed);
      if (early !== undefined) this.#onUpstream(key, followed, early);
    }
    this.#followPermissions();
  }

  #onUpstream(key: string, followed: FollowedUpstream, state: UpstreamState): void {
    if (this.#upstreams.get(key) !== followed) return;
    if (followed.state === state) return; // all proxies that dial it share its states
    const sameTargets = followed.state?.targets === state.targets;
    followed.state = state;
    if (!sameTargets) this.#followPermissions();
    this.#changed();
  }

  #followPermissions(): void {
    this.#permissions.follow([...this.#upstreams.values()].flatMap(({ state }) => state?.targets ?? []));
  }

  #changed(): void {
    this.#part = undefined;
    this.#context.changed();
  }
}

/** The map of before when the new one holds the same. */
function kept<V>(
  before: ReadonlyMap<string, V> | undefined,
  now: ReadonlyMap<string, V>,
  same: (a: V | undefined, b: V) => boolean,
): ReadonlyMap<string, V> {
  if (before === undefined || before.size !== now.size) return now;
  for (const [key, value] of now) if (!before.has(key) || !same(before.get(key), value)) return now;
  return before;
}

function sameNames(a: readonly string[] | undefined, b: readonly string[]): boolean {
  return a?.join() === b.join();
}
