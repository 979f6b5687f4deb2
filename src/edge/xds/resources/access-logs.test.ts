import { fromBinary } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { proxySnapshot } from '../../../../test/fakes/proxy-snapshot.ts';
import type { AccessLogs } from '../../../model/access-logs.ts';
import type { SidecarConfig } from '../../../model/sidecar.ts';
import { ListenerSchema } from '../gen/envoy/config/listener/v3/listener_pb.ts';
import { FileAccessLogSchema } from '../gen/envoy/extensions/access_loggers/file/v3/file_pb.ts';
import { TcpProxySchema } from '../gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.ts';
import { ResourceMaker } from './all.ts';

function made(changes: Partial<SidecarConfig>) {
  const { config } = proxySnapshot();
  return new ResourceMaker().make(proxySnapshot({ config: { ...config, ...changes } }));
}

function inbound(accessLogs?: AccessLogs) {
  const set = made(accessLogs === undefined ? {} : { accessLogs });
  const body = set.listener.get('public_listener:127.0.0.1:21000')?.body.value ?? new Uint8Array();
  const listener = fromBinary(ListenerSchema, body);
  const filter = listener.filterChains[0]?.filters.at(-1)?.configType;
  const proxy = fromBinary(TcpProxySchema, filter?.case === 'typedConfig' ? filter.value.value : new Uint8Array());
  return { listener: listener.accessLog, filter: proxy.accessLog };
}

describe('access logs', () => {
  it('are of the filter, and of the listener for what no filter chain takes', () => {
    expect(inbound()).toEqual({ listener: [], filter: [] });
    expect(inbound({ Enabled: false, Type: 'stderr' })).toEqual({ listener: [], filter: [] });
    const both = inbound({ Enabled: true });
    expect(both.filter.map(({ name, filter }) => [name, filter])).toEqual([['envoy.access_loggers.stdout', undefined]]);
    expect(both.listener[0]?.filter?.filterSpecifier).toMatchObject({ case: 'responseFlagFilter' });
    expect(inbound({ Enabled: true, Type: 'stderr', DisableListenerLogs: true })).toMatchObject({
      listener: [],
      filter: [{ name: 'envoy.access_loggers.stderr' }],
    });
  });

  it('go to a file, as text or JSON', () => {
    const formatOf = (logs: AccessLogs) => {
      const { configType } = inbound({ Enabled: true, Type: 'file', Path: '/var/log/x', ...logs }).filter[0] ?? {};
      const file = fromBinary(
        FileAccessLogSchema,
        configType?.case === 'typedConfig' ? configType.value.value : new Uint8Array(),
      );
      expect(file.path).toBe('/var/log/x');
      return file.accessLogFormat.case === 'logFormat' ? file.accessLogFormat.value.format : undefined;
    };
    expect(formatOf({ JSONFormat: '{"b": "%DURATION%", "a": {"c": 1}}' })).toEqual({
      case: 'jsonFormat',
      value: { b: '%DURATION%', a: { c: 1 } },
    });
    expect(formatOf({ TextFormat: 'took %DURATION%' })).toMatchObject({
      case: 'textFormatSource',
      value: { specifier: { case: 'inlineString', value: 'took %DURATION%\n' } },
    });
    expect(formatOf({})).toMatchObject({ value: { upstream_cluster: '%UPSTREAM_CLUSTER%' } });
  });
});

describe('connections', () => {
  it('are spread over the threads of Envoy where that is asked for', () => {
    const config = { balance_inbound_connections: 'exact_balance' };
    const body = made({ config }).listener.get('public_listener:127.0.0.1:21000')?.body.value ?? new Uint8Array();
    expect(fromBinary(ListenerSchema, body).connectionBalanceConfig?.balanceType.case).toBe('exactBalance');
  });
});

describe('exposed paths', () => {
  it('have a listener each, and a cluster for each port of the application', () => {
    const exposed = [
      { path: '/metrics', listenerPort: 20_200, localPort: 8_080, http2: false },
      { path: '/health/live', listenerPort: 20_201, localPort: 8_080, http2: false },
      { path: '/grpc.health.v1.Health/Check', listenerPort: 20_202, localPort: 8_081, http2: true },
    ];
    const set = made({ exposed });
    expect([...set.cluster.keys()]).toEqual(['exposed_cluster_8080', 'exposed_cluster_8081_http2', 'local_app']);
    expect([...set.listener.keys()]).toEqual([
      'exposed_path_grpchealthv1HealthCheck:20202',
      'exposed_path_healthlive:20201',
      'exposed_path_metrics:20200',
      'public_listener:127.0.0.1:21000',
    ]);
  });
});
