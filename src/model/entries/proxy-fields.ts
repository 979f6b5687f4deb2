import { compileExtension, type ExtensionFields } from '../envoy-extensions/extensions.ts';
import { rejected } from './kind.ts';
import { COUNT, type Field, type Fields, FLAG, OPAQUE, TEXT } from './schema.ts';

/** What `service-defaults` and `proxy-defaults` both say about proxies. */
export const PROXY_FIELDS: Fields = {
  Mode: TEXT,
  TransparentProxy: { type: 'object', fields: { OutboundListenerPort: COUNT, DialedDirectly: FLAG } },
  MutualTLSMode: TEXT,
  MeshGateway: { type: 'object', fields: { Mode: TEXT }, shown: true },
  Expose: {
    type: 'object',
    fields: {
      Checks: FLAG,
      Paths: {
        type: 'list',
        of: { ListenerPort: COUNT, Path: TEXT, LocalPathPort: COUNT, Protocol: TEXT, ParsedFromCheck: FLAG },
      },
    },
    shown: true,
  },
  EnvoyExtensions: {
    type: 'list',
    of: { Name: TEXT, Required: FLAG, Arguments: OPAQUE, ConsulVersion: TEXT, EnvoyVersion: TEXT },
  },
};

export interface ProxyFields {
  readonly Mode?: string;
  readonly MutualTLSMode?: string;
  readonly MeshGateway: { readonly Mode?: string };
  readonly Expose?: { readonly Paths?: readonly { readonly Path?: string; readonly Protocol?: string }[] };
  readonly EnvoyExtensions?: readonly ExtensionFields[];
}

export const ACCESS_LOGS: Field = {
  type: 'object',
  fields: {
    Enabled: FLAG,
    DisableListenerLogs: FLAG,
    Type: TEXT,
    Path: TEXT,
    JSONFormat: TEXT,
    TextFormat: TEXT,
  },
};

export interface AccessLogsFields {
  readonly Enabled?: boolean;
  readonly Type?: string;
  readonly Path?: string;
  readonly JSONFormat?: string;
  readonly TextFormat?: string;
}

const GATEWAY_MODES = ['', 'none', 'local', 'remote'];

/** Throws the first rule that is broken. */
export function validateProxyFields(fields: ProxyFields): void {
  oneOf('Mode', fields.Mode, ['', 'direct', 'transparent']);
  oneOf('MutualTLSMode', fields.MutualTLSMode, ['', 'strict', 'permissive']);
  validateGatewayMode(fields.MeshGateway.Mode);
  for (const [at, { Path, Protocol }] of (fields.Expose?.Paths ?? []).entries()) {
    if (Path !== undefined && !Path.startsWith('/'))
      throw rejected(`Expose.Paths[${at}].Path must begin with '/': ${JSON.stringify(Path)}`);
    oneOf(`Expose.Paths[${at}].Protocol`, Protocol, ['', 'http', 'http2']);
  }
  for (const [at, extension] of (fields.EnvoyExtensions ?? []).entries())
    compileExtension(extension, `EnvoyExtensions[${at}]`);
}

export function validateGatewayMode(mode: string | undefined): void {
  oneOf('MeshGateway.Mode', mode, GATEWAY_MODES);
}

export function oneOf(field: string, value: string | undefined, known: readonly string[]): void {
  if (value === undefined || known.includes(value)) return;
  throw rejected(`invalid ${field} ${JSON.stringify(value)}: it is one of ${known.filter(Boolean).join(', ')}`);
}

export function validateAccessLogs(logs: AccessLogsFields | undefined): void {
  if (logs === undefined) return;
  const { Type = '', Path, JSONFormat, TextFormat } = logs;
  if (!['', 'file', 'stderr', 'stdout'].includes(Type)) throw rejected(`invalid access log type: ${Type}`);
  if (Type === 'file' && Path === undefined) throw rejected('path must be specified when using file type access logs');
  if (Type !== 'file' && Path !== undefined) throw rejected('path is only valid for file type access logs');
  if (JSONFormat !== undefined && TextFormat !== undefined)
    throw rejected('cannot specify both access log JSONFormat and TextFormat');
  if (JSONFormat !== undefined && !isObject(JSONFormat))
    throw rejected('invalid access log json: it must be an object');
}

function isObject(json: string): boolean {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
