import type { ExposedPath } from '../../../model/sidecar.ts';

type Fields = Readonly<Record<string, unknown>>;

/** `Expose` of the first that says anything: the registration, the service's defaults, those of all proxies. */
export function exposedPaths(sources: readonly (Fields | undefined)[], localPort: number): readonly ExposedPath[] {
  const paths = sources.map((source) => source?.Paths).find((list) => Array.isArray(list) && list.length > 0);
  return ((paths as readonly Fields[] | undefined) ?? []).flatMap((each) => {
    const path = each.Path;
    const listenerPort = each.ListenerPort;
    if (typeof path !== 'string' || !path.startsWith('/') || typeof listenerPort !== 'number') return [];
    return [
      {
        path,
        listenerPort,
        localPort: typeof each.LocalPathPort === 'number' && each.LocalPathPort > 0 ? each.LocalPathPort : localPort,
        http2: each.Protocol === 'http2' || each.Protocol === 'grpc',
      },
    ];
  });
}
