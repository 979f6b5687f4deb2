import type { ProxyFeeds } from '../../agent/proxycfg/proxy-configs.ts';
import type { ListenAddress, LoadedConfig } from '../../config/types.ts';
import type { XdsAddress, XdsListener } from '../../edge/xds/listener.ts';
import { createXdsMeters } from '../../edge/xds/meters.ts';
import type { XdsServer } from '../../edge/xds/server.ts';
import { isLoopback } from '../../lib/address.ts';
import type { Clock } from '../../lib/clock.ts';
import { Failure } from '../../lib/failure.ts';
import type { Service } from '../../lib/service.ts';
import type { EnvoyStatus } from '../../model/envoy.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { Certificates } from '../security/certificates.ts';

export interface XdsDeps {
  readonly loaded: LoadedConfig;
  /** Guarded by access control, where that is on. */
  readonly feeds: ProxyFeeds;
  readonly certificates: Pick<Certificates, 'material'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface Xds extends Service {
  readonly addresses: readonly XdsAddress[];
  /** The Envoys that follow this agent now. */
  envoys(): readonly EnvoyStatus[];
}

/** Envoy's xDS with the listeners of the configuration. Its messages are loaded only where a listener is on. */
export function createXds(deps: XdsDeps): Xds {
  const { loaded, feeds, certificates, clock, metrics } = deps;
  const log = deps.log.child({ component: 'xds' });
  const { listeners, tls } = loaded.config;
  const failure = new Failure();
  let server: XdsServer | undefined;
  const meters = createXdsMeters(metrics, () => server?.streams ?? 0);
  const secured = (address: ListenAddress): readonly XdsListener[] => {
    if (address.kind === 'unix') return [address];
    if (certificates.material('grpc')?.own === undefined) {
      log.warn('"ports.grpc_tls" needs "cert_file" and "key_file", or managed certificates: it stays off');
      return [];
    }
    const context = () => certificates.material('grpc')?.options;
    return [{ ...address, tls: { context, requireClientCertificate: tls.grpc.verifyIncoming } }];
  };
  return {
    name: 'xDS',
    get addresses() {
      return server?.addresses ?? [];
    },
    envoys: () => server?.envoys() ?? [],
    onFailure: failure.onFailure,
    async start(signal) {
      const plain = listeners.grpc.filter((each) => each.kind === 'tcp' && !isLoopback(each.host));
      if (plain.length > 0)
        log.warn(
          'private keys of services go over xDS in plain text: use ports.grpc_tls, or addresses.grpc on loopback',
          {
            addresses: plain.map((each) => (each.kind === 'tcp' ? each.host : '')),
          },
        );
      const open = [...listeners.grpc, ...listeners.grpcTls.flatMap(secured)];
      if (open.length === 0) return;
      const { createXdsServer } = await import('../../edge/xds/server.ts');
      server = createXdsServer({ feeds, failure, clock, log, meters }, { listeners: open });
      await server.start(signal);
    },
    async stop() {
      await server?.stop();
    },
  };
}
