import type { SidecarConfig, SidecarSource, SidecarUpdate, SidecarUpstream } from '../../model/sidecar.ts';
import type { ProxyIdentity } from './proxy-options.ts';

/** The source of a sidecar with what the command line adds, and the newest configuration at hand. */
export interface WatchedSource extends SidecarSource {
  config(): SidecarConfig | undefined;
}

/** The agent does not know where a standalone proxy listens: that is only on the command line. */
export function watchSource(source: SidecarSource, identity: ProxyIdentity): WatchedSource {
  let newest: SidecarConfig | undefined;
  const extend = (config: SidecarConfig): SidecarConfig => {
    if (identity.kind !== 'standalone') return config;
    const { listen, local } = identity;
    return { ...config, ...(listen === undefined ? {} : { listen }), ...(local === undefined ? {} : { local }) };
  };
  return {
    config: () => newest,
    acknowledge: (version, signal) => source.acknowledge(version, signal),
    async *updates(signal): AsyncGenerator<SidecarUpdate, void, void> {
      for await (const update of source.updates(signal)) {
        if (update.config === undefined) {
          yield update;
          continue;
        }
        newest = extend(update.config);
        yield { ...update, config: newest };
      }
    },
  };
}

/** Bound addresses by name of the upstream; by `name.datacenter` where a name is there more than once. */
export function upstreamsByName(
  upstreams: readonly SidecarUpstream[],
  addresses: Readonly<Record<string, string>>,
): Record<string, string> {
  const named: Record<string, string> = {};
  for (const upstream of upstreams) {
    const address = addresses[upstream.key];
    if (address === undefined) continue;
    const twins = upstreams.filter((other) => other.name === upstream.name);
    named[twins.length === 1 ? upstream.name : `${upstream.name}.${upstream.datacenter}`] = address;
  }
  return named;
}
