import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { makeRoots, TRUST_DOMAIN } from '../../../../test/fakes/ca-roots.ts';
import { proxySnapshot } from '../../../../test/fakes/proxy-snapshot.ts';
import { centralConfig } from '../../../agent/proxycfg/kinds/central-config.ts';
import type { ConnectProxySnapshot } from '../../../agent/proxycfg/snapshot.ts';
import type { UpstreamState } from '../../../agent/proxycfg/upstream-resolver.ts';
import type { SidecarEndpoint, SidecarUpstream } from '../../../model/sidecar.ts';
import { ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import { HttpConnectionManagerSchema } from '../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { UpstreamTlsContextSchema } from '../gen/envoy/extensions/transport_sockets/tls/v3/tls_pb.ts';
import type { ResourceSet } from '../resource.ts';
import { XDS_TYPES } from '../types.ts';
import { ResourceMaker } from './all.ts';

const DB = `db.default.dc2.internal.${TRUST_DOMAIN}`;

function upstream(changes: Partial<SidecarUpstream> = {}): SidecarUpstream {
  return {
    key: 'service:db@dc2:9191',
    type: 'service',
    name: 'db',
    datacenter: 'dc2',
    bindAddress: '127.0.0.1',
    bindPort: 9_191,
    config: {},
    ...changes,
  };
}

function endpoint(id: string, changes: Partial<SidecarEndpoint> = {}): SidecarEndpoint {
  return { id, address: '10.0.0.1', port: 1, service: 'db', datacenter: 'dc2', weight: 1, ...changes };
}

function withUpstreams(
  list: readonly (readonly [SidecarUpstream, readonly SidecarEndpoint[]])[],
  changes: Partial<ConnectProxySnapshot> = {},
): ConnectProxySnapshot {
  const base = proxySnapshot();
  const states = list.map(([{ key }, endpoints]): [string, UpstreamState] => [
    key,
    { endpoints, targets: endpoints, problem: '' },
  ]);
  return {
    ...base,
    config: { ...base.config, upstreams: list.map(([one]) => one) },
    upstreams: new Map(states),
    ...changes,
  };
}

function names(set: ResourceSet): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(XDS_TYPES.map((type) => [type, [...set[type].keys()]]));
}

function changed(before: ResourceSet, after: ResourceSet): readonly string[] {
  return XDS_TYPES.flatMap((type) =>
    [...after[type].values()].flatMap((one) =>
      before[type].get(one.name)?.version === one.version ? [] : [`${type} ${one.name}`],
    ),
  );
}

describe('the resources of a sidecar', () => {
  it('are a listener for each way, a cluster and endpoints for each upstream, secrets and rules', () => {
    expect(names(new ResourceMaker().make(withUpstreams([[upstream(), [endpoint('a')]]])))).toEqual({
      cluster: [DB, 'local_app'],
      endpoints: [DB],
      secret: ['leaf', 'roots'],
      listener: ['db:127.0.0.1:9191', 'public_listener:127.0.0.1:21000'],
      route: [],
      extension: ['inbound-network-rules'],
    });
  });

  it('a rotation changes the secrets alone, a rule the rules alone, an instance the endpoints alone', () => {
    const maker = new ResourceMaker();
    const snapshot = withUpstreams([[upstream(), [endpoint('a')]]]);
    const first = maker.make(snapshot);
    const rotated = { ...snapshot, roots: makeRoots('r2', 'r1'), leaf: { ...snapshot.leaf, CertPEM: 'cert 02' } };
    const second = maker.make(rotated);
    expect(changed(first, second)).toEqual(['secret leaf', 'secret roots']);
    const ruled = {
      ...rotated,
      verdicts: {
        ...rotated.verdicts,
        rules: [{ source: 'x', destination: 'web', action: 'deny' as const, precedence: 9, revision: 2 }],
      },
    };
    const third = maker.make(ruled);
    expect(changed(second, third)).toEqual(['extension inbound-network-rules']);
    const grown = withUpstreams([[upstream(), [endpoint('a'), endpoint('b', { port: 2 })]]], {
      ...ruled,
      config: ruled.config,
      upstreams: new Map([
        [
          upstream().key,
          { endpoints: [endpoint('b', { port: 2 }), endpoint('a')], targets: [endpoint('a')], problem: '' },
        ],
      ]),
    });
    const fourth = maker.make(grown);
    expect(changed(third, fourth)).toEqual([`endpoints ${DB}`]);
    expect(maker.make(grown)).toBe(fourth);
  });

  it('have the same bytes in every process and in whatever order answers come', () => {
    const one = withUpstreams([[upstream(), [endpoint('a'), endpoint('b', { port: 2 })]]]);
    const other = withUpstreams([[upstream(), [endpoint('b', { port: 2 }), endpoint('a')]]], {
      roots: { ...one.roots, Roots: [...one.roots.Roots] },
    });
    expect(changed(new ResourceMaker().make(one), new ResourceMaker().make(other))).toEqual([]);
  });

  it('a new refusal changes the filter chain of that upstream, and leaves nothing to connect to', () => {
    const maker = new ResourceMaker();
    const cache = upstream({ key: 'service:cache@dc1:9192', name: 'cache', datacenter: 'dc1', bindPort: 9_192 });
    const snapshot = withUpstreams([
      [upstream(), [endpoint('a')]],
      [cache, []],
    ]);
    const before = maker.make(snapshot);
    const after = maker.make({ ...snapshot, refused: new Map([[upstream().key, ['db in dc2']]]) });
    expect(changed(before, after)).toEqual([`endpoints ${DB}`, 'listener db:127.0.0.1:9191']);
    const assignment = fromBinary(ClusterLoadAssignmentSchema, after.endpoints.get(DB)?.body.value ?? new Uint8Array());
    expect(assignment.endpoints).toEqual([]);
    const chain = (set: ResourceSet) =>
      fromBinary(ListenerSchema, set.listener.get('db:127.0.0.1:9191')?.body.value ?? new Uint8Array()).filterChains;
    expect(chain(before).map(({ name }) => name)).toEqual(['upstream']);
    expect(chain(after).map(({ name }) => name)).toEqual(['upstream without db in dc2']);
    expect(chain(after)[0]?.filters).toEqual(chain(before)[0]?.filters);
  });

  it('a deny takes away the filter chain of that caller, and no other', () => {
    const maker = new ResourceMaker();
    const named = ['a', 'b', 'c'].map((service) => ({ service, datacenter: 'dc1' }));
    const snapshot = proxySnapshot({ callers: { named, complete: true } });
    const before = maker.make(snapshot);
    const rule = { source: 'b', destination: 'web', action: 'deny' as const, precedence: 9, revision: 2 };
    const after = maker.make({ ...snapshot, verdicts: { ...snapshot.verdicts, rules: [rule] } });
    expect(changed(before, after)).toEqual(['listener inbound_callers', 'extension inbound-network-rules']);
    const chains = (set: ResourceSet): readonly string[] => {
      const listener = fromBinary(ListenerSchema, set.listener.get('inbound_callers')?.body.value ?? new Uint8Array());
      return listener.filterChains.map(({ name }) => name);
    };
    expect(chains(before)).toEqual(['a in dc1', 'b in dc1', 'c in dc1', 'others']);
    expect(chains(after)).toEqual(['a in dc1', 'c in dc1', expect.stringMatching(/^others [0-9a-f]{8}$/)]);
    // Not everything is known: an Envoy that was there before keeps what it has.
    const unsure = new ResourceMaker().make({ ...snapshot, callers: { named, complete: false } });
    expect(unsure.listener.get('inbound_callers')?.provisional).toBe(true);
  });

  it('a refusal of one of several targets ends nothing at the source: the other side does', () => {
    const maker = new ResourceMaker();
    const list = [endpoint('near', { target: 'db.dc2' }), endpoint('far', { target: 'db.dc3', datacenter: 'dc3' })];
    const snapshot = withUpstreams([[upstream(), list]]);
    const before = maker.make(snapshot);
    const one = maker.make({ ...snapshot, refused: new Map([[upstream().key, ['db in dc2']]]) });
    expect(changed(before, one)).toEqual([`endpoints ${DB}`]);
    const both = maker.make({ ...snapshot, refused: new Map([[upstream().key, ['db in dc2', 'db in dc3']]]) });
    expect(changed(one, both)).toEqual([`endpoints ${DB}`, 'listener db:127.0.0.1:9191']);
  });

  it('targets are priorities in their order, each verified as exactly what it is', () => {
    const list = [
      endpoint('near', { target: 'db.dc2', weight: 5, connectTimeoutMs: 700 }),
      endpoint('far', { target: 'db.dc3', datacenter: 'dc3', weight: 0 }),
      endpoint('lost', { target: 'db.dc1', datacenter: 'dc1', lastResort: true }),
    ];
    const set = new ResourceMaker().make(withUpstreams([[upstream(), list]]));
    const assignment = fromBinary(ClusterLoadAssignmentSchema, set.endpoints.get(DB)?.body.value ?? new Uint8Array());
    expect(
      assignment.endpoints.map(({ priority, lbEndpoints }) => [
        priority,
        lbEndpoints.map(({ loadBalancingWeight, metadata }) => [
          loadBalancingWeight,
          metadata?.filterMetadata['envoy.transport_socket_match'],
        ]),
      ]),
    ).toEqual([
      [0, [[5, { identity: 'db/dc2' }]]],
      [1, [[1, { identity: 'db/dc3' }]]],
      [2, [[1, { identity: 'db/dc1' }]]],
    ]);
    const cluster = fromBinary(ClusterSchema, set.cluster.get(DB)?.body.value ?? new Uint8Array());
    expect(cluster.connectTimeout).toMatchObject({ nanos: 700_000_000 });
    expect(cluster.outlierDetection).toMatchObject({ maxEjectionPercent: 100, consecutiveLocalOriginFailure: 1 });
    const verified = cluster.transportSocketMatches.map(({ match, transportSocket }) => {
      const config = transportSocket?.configType.value;
      const { sni, commonTlsContext } = fromBinary(UpstreamTlsContextSchema, config?.value ?? new Uint8Array());
      const validation = commonTlsContext?.validationContextType;
      const matcher =
        validation?.case === 'combinedValidationContext'
          ? validation.value.defaultValidationContext?.matchTypedSubjectAltNames[0]?.matcher?.matchPattern
          : undefined;
      return [match, sni, matcher?.value];
    });
    expect(verified).toEqual(
      ['dc1', 'dc2', 'dc3'].map((dc) => [
        { identity: `db/${dc}` },
        `db.default.${dc}.internal.${TRUST_DOMAIN}`,
        `spiffe://${TRUST_DOMAIN}/ns/default/dc/${dc}/svc/db`,
      ]),
    );
  });

  it('take the options of upstreams and of the proxy', () => {
    const config = {
      connect_timeout_ms: 1_500,
      limits: { max_connections: 3, max_pending_requests: 4, max_concurrent_requests: 5 },
      passive_health_check: { interval: '2s', max_failures: 7 },
    };
    const snapshot = withUpstreams([[upstream({ config }), [endpoint('a', { connectTimeoutMs: 1 })]]]);
    const set = new ResourceMaker().make({
      ...snapshot,
      config: { ...snapshot.config, config: { local_connect_timeout_ms: 250, max_inbound_connections: 9 } },
    });
    const clusters = [...set.cluster.values()].map(({ body }) => fromBinary(ClusterSchema, body.value));
    expect(clusters.map(({ altStatName }) => altStatName)).toEqual([DB, '']);
    expect(clusters[0]).toMatchObject({
      connectTimeout: { seconds: 1n, nanos: 500_000_000 },
      circuitBreakers: { thresholds: [{ maxConnections: 3, maxPendingRequests: 4, maxRequests: 5 }] },
      outlierDetection: { interval: { seconds: 2n }, consecutive5xx: 7, consecutiveLocalOriginFailure: 7 },
    });
    expect(clusters[1]).toMatchObject({
      name: 'local_app',
      connectTimeout: { nanos: 250_000_000 },
      circuitBreakers: { thresholds: [{ maxConnections: 9 }] },
    });
  });

  it('take the counts of passive checks and the limit of headers of service-defaults, within limits', () => {
    const check = {
      MaxFailures: 7,
      Consecutive5xx: 4,
      ConsecutiveGatewayFailure: 3,
      EnforcingConsecutiveGatewayFailure: 80,
    };
    const resources = (service: Readonly<Record<string, unknown>>, protocol: string) => {
      const central = centralConfig({ service } as unknown as Parameters<typeof centralConfig>[0]);
      const base = withUpstreams([[upstream({ config: central.upstream('db') }), [endpoint('a')]]], { protocol });
      return new ResourceMaker().make({ ...base, config: { ...base.config, config: central.proxy } });
    };
    const checked = resources({ UpstreamConfig: { Defaults: { PassiveHealthCheck: check } } }, 'tcp');
    const [ofUpstream] = [...checked.cluster.values()].map(({ body }) => fromBinary(ClusterSchema, body.value));
    expect(ofUpstream?.outlierDetection).toMatchObject({
      consecutive5xx: 4,
      consecutiveLocalOriginFailure: 7,
      consecutiveGatewayFailure: 3,
      enforcingConsecutiveGatewayFailure: 80,
    });
    const headersKb = (made: ResourceSet): number | undefined => {
      const body = made.listener.get('public_listener:127.0.0.1:21000')?.body.value ?? new Uint8Array();
      const config = fromBinary(ListenerSchema, body).filterChains[0]?.filters[0]?.configType;
      if (config?.case !== 'typedConfig') throw new Error('no filter that takes requests');
      return fromBinary(HttpConnectionManagerSchema, config.value.value).maxRequestHeadersKb;
    };
    expect(headersKb(resources({ MaxRequestHeadersKB: 99 }, 'http'))).toBe(99);
    expect(headersKb(resources({ MaxRequestHeadersKB: 100_000 }, 'http'))).toBe(8_192);
    expect(headersKb(resources({}, 'http'))).toBeUndefined();
  });

  it('paths of checks are open to loopback and the agent alone, those that are listed to whoever asks', () => {
    const base = proxySnapshot();
    const path = { path: '/health', localPort: 8_080, http2: false };
    const exposed = [
      { ...path, listenerPort: 1 },
      { ...path, listenerPort: 2, from: ['10.0.0.1', 'fd00::1'] },
    ];
    const { listener } = new ResourceMaker().make({ ...base, config: { ...base.config, exposed } });
    const allowed = (name: string) => {
      const { filterChains } = fromBinary(ListenerSchema, listener.get(name)?.body.value ?? new Uint8Array());
      return filterChains.map(({ filterChainMatch: match }) =>
        match?.sourcePrefixRanges.map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen}`),
      );
    };
    expect(allowed('exposed_path_health:1')).toEqual([undefined]);
    expect(allowed('exposed_path_health:2')).toEqual([['127.0.0.0/8', '::1/128', '10.0.0.1/32', 'fd00::1/128']]);
  });

  it('an instance with a name for an address is resolved by Envoy itself', () => {
    const set = new ResourceMaker().make(withUpstreams([[upstream(), [endpoint('a', { address: 'db.example.com' })]]]));
    expect(names(set).endpoints).toEqual([]);
    const cluster = fromBinary(ClusterSchema, set.cluster.get(DB)?.body.value ?? new Uint8Array());
    expect(cluster.clusterDiscoveryType).toMatchObject({ case: 'type', value: 1 });
    expect(cluster.loadAssignment?.endpoints).toHaveLength(1);
  });

  it('an upstream may be a Unix socket', () => {
    const socket = upstream({ bindPort: 0, bindSocketPath: '/run/db.sock', bindSocketMode: '0600' });
    const set = new ResourceMaker().make(withUpstreams([[socket, []]]));
    const listener = set.listener.get('db:/run/db.sock');
    expect(fromBinary(ListenerSchema, listener?.body.value ?? new Uint8Array()).address?.address).toMatchObject({
      case: 'pipe',
      value: { path: '/run/db.sock', mode: 0o600 },
    });
  });
});
