import { parseDuration } from '../../lib/duration.ts';
import { invariant } from '../../lib/errors.ts';
import type {
  ChainNode,
  ChainTarget,
  DiscoveryChain,
  HashPolicyFields,
  LoadBalancerFields,
  ResolverNode,
  RouteDestinationFields,
} from '../discovery-chain.ts';
import { compileHeaders, NO_CHANGES } from './headers.ts';
import { compileMatch } from './match.ts';
import {
  type Balancer,
  type Destination,
  type HashPolicy,
  isRequestProtocol,
  type Retries,
  type Route,
  type RouteTable,
  type RouteTarget,
  type Split,
} from './route-table.ts';

/** As Envoy has it for a route that says nothing, and Consul with it, milliseconds. */
const DEFAULT_REQUEST_TIMEOUT_MS = 15_000;
const DEFAULT_RETRIES = 1;
const DEFAULT_CHOICES = 2;
const WHOLE = 10_000;
const HASHED = new Set(['ring_hash', 'maglev']);

const COMPILED = new WeakMap<DiscoveryChain, RouteTable>();

/** Where requests go by a chain of a request protocol. Compiled once for each chain. */
export function compileRoutes(chain: DiscoveryChain): RouteTable {
  let table = COMPILED.get(chain);
  if (table === undefined) {
    table = new RouteCompiler(chain).compile();
    COMPILED.set(chain, table);
  }
  return table;
}

class RouteCompiler {
  readonly #chain: DiscoveryChain;
  readonly #destinations: Record<string, Destination> = {};

  constructor(chain: DiscoveryChain) {
    this.#chain = chain;
  }

  compile(): RouteTable {
    const { ServiceName, Protocol, StartNode, Targets } = this.#chain;
    invariant(isRequestProtocol(Protocol), `requests of ${Protocol} have no routes`);
    const start = this.#node(StartNode);
    const routes: readonly Route[] =
      start.Type === 'router'
        ? start.Routes.map(({ Definition, NextNode }) =>
            this.#route(compileMatch(Definition.Match?.HTTP), NextNode, Definition.Destination ?? {}),
          )
        : [this.#route(compileMatch(), StartNode, startOptions(start))];
    return {
      service: ServiceName,
      protocol: Protocol,
      routes,
      destinations: this.#destinations,
      targets: Object.fromEntries(Object.entries(Targets).map(([id, target]) => [id, targetOf(target)])),
    };
  }

  #route(match: Route['match'], next: string, options: RouteDestinationFields): Route {
    const retries = retriesOf(options);
    const idle = options.IdleTimeout === undefined ? 0 : parseDuration(options.IdleTimeout);
    return {
      match,
      splits: this.#splits(next),
      ...(options.PrefixRewrite === undefined ? {} : { prefixRewrite: options.PrefixRewrite }),
      requestTimeoutMs: timeoutOf(options.RequestTimeout),
      ...(idle === 0 ? {} : { idleTimeoutMs: Math.max(idle, 0) }),
      ...(retries === undefined ? {} : { retries }),
      requestHeaders: compileHeaders(options.RequestHeaders),
      responseHeaders: compileHeaders(options.ResponseHeaders),
      hashPolicies: this.#hashPolicies(next),
    };
  }

  #splits(next: string): readonly Split[] {
    const node = this.#node(next);
    invariant(node.Type !== 'router', 'a router leads to splitters and resolvers');
    if (node.Type === 'resolver')
      return [
        {
          weight: WHOLE,
          destination: this.#destination(node),
          requestHeaders: NO_CHANGES,
          responseHeaders: NO_CHANGES,
        },
      ];
    return node.Splits.map(({ Weight, NextNode, Definition }) => {
      const resolver = this.#node(NextNode);
      invariant(resolver.Type === 'resolver', 'a splitter of a compiled chain leads to resolvers');
      return {
        weight: Math.round(Weight * 100),
        destination: this.#destination(resolver),
        requestHeaders: compileHeaders(Definition?.RequestHeaders),
        responseHeaders: compileHeaders(Definition?.ResponseHeaders),
      };
    });
  }

  #destination({ Resolver, LoadBalancer, PrioritizeByLocality }: ResolverNode): string {
    const { Target, ConnectTimeout, Failover } = Resolver;
    const policy = Failover?.Policy;
    this.#destinations[Target] ??= {
      targets: [...new Set([Target, ...(Failover?.Targets ?? [])])],
      connectTimeoutMs: parseDuration(ConnectTimeout),
      balancer: balancerOf(LoadBalancer),
      ...(policy?.Mode === undefined ? {} : { failoverPolicy: { mode: policy.Mode, regions: policy.Regions ?? [] } }),
      ...(PrioritizeByLocality?.Mode === 'failover' ? { prioritizeByLocality: true as const } : {}),
    };
    return Target;
  }

  /** A request is hashed once, before a split is chosen: by what the first destination that is balanced so asks for. */
  #hashPolicies(next: string): readonly HashPolicy[] {
    const node = this.#node(next);
    const nodes = node.Type === 'splitter' ? node.Splits.map(({ NextNode }) => this.#node(NextNode)) : [node];
    for (const each of nodes) {
      const balancer = each.Type === 'resolver' ? each.LoadBalancer : undefined;
      if (HASHED.has(balancer?.Policy ?? '')) return (balancer?.HashPolicies ?? []).flatMap(hashPolicyOf);
    }
    return [];
  }

  #node(id: string): ChainNode {
    const node = this.#chain.Nodes[id];
    invariant(node !== undefined, 'a chain has every node that it names');
    return node;
  }
}

/** A timeout of the resolver counts where the chain begins with it: splits share their route. */
function startOptions(start: ChainNode): RouteDestinationFields {
  const timeout = start.Type === 'resolver' ? start.Resolver.RequestTimeout : undefined;
  return timeout === undefined ? {} : { RequestTimeout: timeout };
}

/** Below zero: for ever. */
function timeoutOf(text: string | undefined): number {
  const ms = text === undefined ? 0 : parseDuration(text);
  return ms === 0 ? DEFAULT_REQUEST_TIMEOUT_MS : Math.max(ms, 0);
}

function retriesOf(options: RouteDestinationFields): Retries | undefined {
  const { NumRetries = 0, RetryOnConnectFailure, RetryOnStatusCodes = [], RetryOn = [] } = options;
  const on = new Set(RetryOn);
  if (RetryOnConnectFailure === true) on.add('connect-failure');
  if (RetryOnStatusCodes.length > 0) on.add('retriable-status-codes');
  if (NumRetries === 0 && on.size === 0) return undefined;
  return { count: NumRetries || DEFAULT_RETRIES, on: [...on], statusCodes: RetryOnStatusCodes };
}

function balancerOf(fields: LoadBalancerFields | undefined): Balancer {
  switch (fields?.Policy) {
    case 'least_request':
      return { policy: 'least_request', choices: fields.LeastRequestConfig?.ChoiceCount ?? DEFAULT_CHOICES };
    case 'ring_hash': {
      const { MinimumRingSize, MaximumRingSize } = fields.RingHashConfig ?? {};
      return {
        policy: 'ring_hash',
        ...(MinimumRingSize === undefined ? {} : { minimumSize: MinimumRingSize }),
        ...(MaximumRingSize === undefined ? {} : { maximumSize: MaximumRingSize }),
      };
    }
    case 'random':
    case 'maglev':
      return { policy: fields.Policy };
    default:
      return { policy: 'round_robin' };
  }
}

function hashPolicyOf(fields: HashPolicyFields): readonly HashPolicy[] {
  const terminal = fields.Terminal === true ? { terminal: true as const } : {};
  if (fields.SourceIP === true) return [{ type: 'source ip', ...terminal }];
  const name = fields.FieldValue ?? '';
  switch (fields.Field) {
    case 'header':
      return [{ type: 'header', name: name.toLowerCase(), ...terminal }];
    case 'query_parameter':
      return [{ type: 'query', name, ...terminal }];
    case 'cookie': {
      const { Session, TTL, Path } = fields.CookieConfig ?? {};
      const ttlMs = Session === true ? 0 : TTL === undefined ? undefined : parseDuration(TTL);
      return [
        {
          type: 'cookie',
          name,
          ...(ttlMs === undefined ? {} : { ttlMs }),
          ...(Path === undefined ? {} : { path: Path }),
          ...terminal,
        },
      ];
    }
    default:
      return [];
  }
}

function targetOf({ ID, Service, ServiceSubset, Datacenter, SNI, External, MeshGateway }: ChainTarget): RouteTarget {
  return {
    id: ID,
    service: Service,
    ...(ServiceSubset === undefined ? {} : { subset: ServiceSubset }),
    datacenter: Datacenter,
    sni: SNI,
    ...(External === true ? { external: true as const } : {}),
    ...(MeshGateway.Mode === undefined ? {} : { meshGateway: MeshGateway.Mode }),
  };
}
