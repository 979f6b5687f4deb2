import type { SidecarConfig, SidecarSource, SidecarUpdate, SidecarUpstream } from '../../model/sidecar.ts';

/** The source of a sidecar with the newest configuration at hand. */
export interface WatchedSource extends SidecarSource {
  config(): SidecarConfig | undefined;
}

/** Passes everything on, and keeps the configuration, which the ready line names. */
export function watchSource(source: SidecarSource): WatchedSource {
  let newest: SidecarConfig | undefined;
  return {
    config: () => newest,
    acknowledge: (version, signal) => source.acknowledge(version, signal),
    async *updates(signal): AsyncGenerator<SidecarUpdate, void, void> {
      for await (const update of source.updates(signal)) {
        newest = update.config ?? newest;
        yield update;
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
