import { create } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { centralConfig } from '../../../agent/proxycfg/kinds/central-config.ts';
import { sidecarConfig } from '../../../agent/proxycfg/kinds/connect-proxy-config.ts';
import type { NodeService } from '../../../model/catalog.ts';
import { PROXY_HATCHES, PROXY_KEYS, UPSTREAM_HATCHES, UPSTREAM_KEYS } from '../../../model/proxy-keys.ts';
import { localOptions, upstreamOptions } from '../../../model/proxy-options.ts';
import { ClusterSchema } from '../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { TransportSocketSchema } from '../gen/envoy/config/core/v3/base_pb.ts';
import {
  ownLocalCluster,
  ownPublicListener,
  ownUpstreamCluster,
  ownUpstreamListener,
  tracingOf,
} from './escape-hatches.ts';

/** An object that writes down which of its keys are read. */
function watched(read: Set<string>): Readonly<Record<string, unknown>> {
  return new Proxy<Record<string, unknown>>(
    {},
    {
      get(_target, key) {
        read.add(String(key));
        return undefined;
      },
    },
  );
}

describe('the documented keys of proxies', () => {
  it('are read, and no others', () => {
    const proxy = new Set<string>();
    localOptions(watched(proxy));
    const names = Object.fromEntries(Object.keys(PROXY_KEYS).map((key) => [key, 'x']));
    const registration = { ID: 'p', Address: '', Port: 1, Proxy: { Config: names } } as unknown as NodeService;
    const where = {
      datacenter: 'dc1',
      node: 'n',
      registered: true,
      addresses: { any: '0.0.0.0', loopback: '127.0.0.1' },
    };
    expect(sidecarConfig(registration, where, centralConfig()).listen).toEqual({ address: 'x', port: 1 });
    for (const key of ['bind_address', 'bind_port', 'protocol']) proxy.add(key);
    expect([...proxy].sort()).toEqual(Object.keys(PROXY_KEYS).sort());
    const upstream = new Set<string>();
    upstreamOptions(watched(upstream));
    expect([...upstream].sort()).toEqual(Object.keys(UPSTREAM_KEYS).sort());
  });

  it('escape hatches are read, and no others', () => {
    const read = new Set<string>();
    const report = () => undefined;
    const options = watched(read);
    const secured = { transportSocket: create(TransportSocketSchema), guards: () => [] };
    ownPublicListener(options, '', secured, report);
    ownUpstreamListener(options, '', report);
    ownUpstreamCluster(options, create(ClusterSchema), report);
    ownLocalCluster(options, create(ClusterSchema), report);
    tracingOf(options, report);
    read.delete('envoy_tracing_json'); // of the bootstrap
    expect([...read].sort()).toEqual([...Object.keys(PROXY_HATCHES), ...Object.keys(UPSTREAM_HATCHES)].sort());
  });
});
