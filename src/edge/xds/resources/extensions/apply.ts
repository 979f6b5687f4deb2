import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf';
import type { CentralEntries } from '../../../../agent/proxycfg/kinds/central-entries.ts';
import type { ConnectProxySnapshot } from '../../../../agent/proxycfg/snapshot.ts';
import {
  compileExtension,
  type EnvoyExtension,
  type ExtensionFields,
} from '../../../../model/envoy-extensions/extensions.ts';
import { ClusterSchema } from '../../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import { ListenerSchema } from '../../gen/envoy/config/listener/v3/listener_pb.ts';
import { RouteConfigurationSchema } from '../../gen/envoy/config/route/v3/route_pb.ts';
import { type Resource, resource } from '../../resource.ts';
import { destinationsOf } from '../destinations.ts';
import { INBOUND_ROUTES, LOCAL_APP, PUBLIC_LISTENER, routesName } from '../names.ts';
import { outboundName } from '../outbound-listener.ts';
import type { Report } from '../problems.ts';
import { extAuthzPatch } from './ext-authz.ts';
import { luaPatch } from './lua.ts';
import { otelPatch } from './otel-access-logs.ts';
import type { About, PatchContext, ResourcePatch } from './patch.ts';
import { propertyOverridePatch } from './property-override.ts';
import { wasmPatch } from './wasm.ts';

/** What users add by `EnvoyExtensions`, to everything else that their Envoy is given. */

export interface Extended {
  readonly resources: readonly Resource[];
  /** False: one that is required can't be carried out; what is served must not be without it. */
  readonly whole: boolean;
}

/** Those of all proxies, then those of the service. */
export function extensionFields({ proxies, service }: CentralEntries): readonly ExtensionFields[] {
  const of = (entry: unknown): readonly ExtensionFields[] =>
    (entry as { readonly EnvoyExtensions?: readonly ExtensionFields[] } | undefined)?.EnvoyExtensions ?? [];
  return [...of(proxies), ...of(service)];
}

export function extended(
  made: readonly Resource[],
  snapshot: ConnectProxySnapshot,
  fields: readonly ExtensionFields[],
  report: Report,
): Extended {
  const about = aboutOf(snapshot);
  const context = contextOf(snapshot);
  let resources = made;
  let whole = true;
  for (const each of fields) {
    try {
      resources = patched(resources, patchOf(compileExtension(each, each.Name ?? 'EnvoyExtensions'), context), about);
    } catch (error) {
      whole &&= each.Required !== true;
      report({ option: `EnvoyExtensions ${each.Name ?? ''}`, why: (error as Error).message });
    }
  }
  return { resources, whole };
}

function patchOf(extension: EnvoyExtension, context: PatchContext): ResourcePatch {
  switch (extension.type) {
    case 'lua':
      return luaPatch(extension);
    case 'ext-authz':
      return extAuthzPatch(extension, context);
    case 'otel-access-logging':
      return otelPatch(extension, context);
    case 'property-override':
      return propertyOverridePatch(extension);
    case 'wasm':
      return wasmPatch(extension, context);
  }
}

function patched(
  resources: readonly Resource[],
  patch: ResourcePatch,
  about: ReadonlyMap<string, About>,
): readonly Resource[] {
  const changed = resources.map((each) => {
    const meant = about.get(keyOf(each));
    if (meant === undefined) return each;
    switch (each.type) {
      case 'listener':
        return changedBy(each, ListenerSchema, patch.listener && ((message) => patch.listener?.(message, meant)));
      case 'cluster':
        return changedBy(each, ClusterSchema, patch.cluster && ((message) => patch.cluster?.(message, meant)));
      case 'endpoints':
        return changedBy(
          each,
          ClusterLoadAssignmentSchema,
          patch.endpoints && ((message) => patch.endpoints?.(message, meant)),
        );
      case 'route':
        return changedBy(each, RouteConfigurationSchema, patch.route && ((message) => patch.route?.(message, meant)));
      default:
        return each;
    }
  });
  const added = (patch.clusters ?? []).map((cluster) => resource('cluster', cluster.name, ClusterSchema, cluster));
  const names = new Set(added.map(keyOf));
  return [...changed.filter((each) => !names.has(keyOf(each))), ...added];
}

function changedBy<D extends DescMessage>(
  each: Resource,
  schema: D,
  change: ((message: MessageShape<D>) => void) | undefined,
): Resource {
  if (change === undefined) return each;
  const message = fromBinary(schema, each.body.value);
  change(message);
  const made = resource(each.type, each.name, schema, message);
  return each.provisional === true ? { ...made, provisional: true } : made;
}

function keyOf({ type, name }: Pick<Resource, 'type' | 'name'>): string {
  return `${type} ${name}`;
}

/** Resources that extensions are for; others, such as those of exposed paths, stay as they are. */
function aboutOf(snapshot: ConnectProxySnapshot): ReadonlyMap<string, About> {
  const { config, roots } = snapshot;
  const inbound: About = { direction: 'inbound', services: [] };
  const about = new Map<string, About>([
    [keyOf({ type: 'cluster', name: LOCAL_APP }), inbound],
    [keyOf({ type: 'route', name: INBOUND_ROUTES }), inbound],
  ]);
  if (config.listen !== undefined) {
    const { address, port } = config.listen;
    about.set(keyOf({ type: 'listener', name: `${PUBLIC_LISTENER}:${address}:${port}` }), inbound);
  }
  for (const upstream of config.upstreams) {
    const own: About = { direction: 'outbound', services: [upstream.name] };
    about.set(keyOf({ type: 'listener', name: outboundName(upstream) }), own);
    about.set(keyOf({ type: 'route', name: routesName(upstream, roots.TrustDomain) }), own);
    for (const { name, statName } of destinationsOf(upstream, snapshot, roots.TrustDomain)) {
      const services = [upstream.name, ...statName.split('.')];
      for (const type of ['cluster', 'endpoints'] as const)
        about.set(keyOf({ type, name }), { direction: 'outbound', services });
    }
  }
  return about;
}

function contextOf(snapshot: ConnectProxySnapshot): PatchContext {
  return {
    snapshot,
    clusterOf(service) {
      const upstream = snapshot.config.upstreams.find(({ type, name }) => type === 'service' && name === service);
      const [first] = upstream === undefined ? [] : destinationsOf(upstream, snapshot, snapshot.roots.TrustDomain);
      if (first === undefined) throw new Error(`the proxy has no upstream ${service}`);
      return first.name;
    },
  };
}
