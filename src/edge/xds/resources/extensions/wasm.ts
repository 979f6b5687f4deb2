import { create } from '@bufbuild/protobuf';
import { StringValueSchema } from '@bufbuild/protobuf/wkt';
import type { WasmExtension } from '../../../../model/envoy-extensions/extensions.ts';
import { WasmSchema as HttpWasmSchema } from '../../gen/envoy/extensions/filters/http/wasm/v3/wasm_pb.ts';
import { HttpFilterSchema } from '../../gen/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.ts';
import { WasmSchema as NetworkWasmSchema } from '../../gen/envoy/extensions/filters/network/wasm/v3/wasm_pb.ts';
import { type PluginConfig, PluginConfigSchema } from '../../gen/envoy/extensions/wasm/v3/wasm_pb.ts';
import { pack } from '../../resource.ts';
import { millis, networkFilter } from '../common.ts';
import { eachChain, insertBeforeRouter, type PatchContext, type ResourcePatch } from './patch.ts';

/** A program in WebAssembly. The Envoy must have a runtime for it; one without rejects the listener. */
export function wasmPatch(
  extension: WasmExtension & { readonly required: boolean },
  context: PatchContext,
): ResourcePatch {
  const config = pluginConfig(extension, context);
  const http = create(HttpFilterSchema, {
    name: 'envoy.filters.http.wasm',
    configType: { case: 'typedConfig', value: pack(HttpWasmSchema, create(HttpWasmSchema, { config })) },
  });
  const network = networkFilter('envoy.filters.network.wasm', NetworkWasmSchema, create(NetworkWasmSchema, { config }));
  return {
    listener(listener, { direction }) {
      if (direction !== extension.direction) return;
      if (extension.protocol === 'http') insertBeforeRouter(listener, http);
      else eachChain(listener, (filters) => [...filters.slice(0, -1), network, ...filters.slice(-1)]);
    },
  };
}

function pluginConfig(
  extension: WasmExtension & { readonly required: boolean },
  { clusterOf }: PatchContext,
): PluginConfig {
  const { code, configuration, vmConfiguration, capabilities, environment, hostEnvironment, retries } = extension;
  const text = (value: string) => pack(StringValueSchema, create(StringValueSchema, { value }));
  return create(PluginConfigSchema, {
    name: extension.name,
    rootId: extension.rootId,
    failOpen: !extension.required,
    vm: {
      case: 'vmConfig',
      value: {
        vmId: extension.vmId,
        runtime: `envoy.wasm.runtime.${extension.runtime}`,
        code: {
          specifier:
            'file' in code
              ? { case: 'local', value: { specifier: { case: 'filename', value: code.file } } }
              : {
                  case: 'remote',
                  value: {
                    sha256: code.sha256,
                    httpUri: {
                      uri: code.uri,
                      httpUpstreamType: { case: 'cluster', value: clusterOf(code.service) },
                      timeout: millis(code.timeoutMs),
                    },
                    ...(retries === undefined ? {} : { retryPolicy: { numRetries: retries } }),
                  },
                },
        },
        ...(vmConfiguration === undefined ? {} : { configuration: text(vmConfiguration) }),
        environmentVariables: { hostEnvKeys: [...hostEnvironment], keyValues: { ...environment } },
      },
    },
    ...(configuration === undefined ? {} : { configuration: text(configuration) }),
    ...(capabilities.length === 0
      ? {}
      : {
          capabilityRestrictionConfig: {
            allowedCapabilities: Object.fromEntries(capabilities.map((name) => [name, {}])),
          },
        }),
  });
}
