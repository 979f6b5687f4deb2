/**
 * The part of Envoy's API that `edge/xds` speaks, generated from the .proto files that come with @grpc/grpc-js-xds.
 * Only the messages in TYPES and what they need is generated. A digest of all that the code depends on stands beside
 * it, so that the check needs no generation.
 */
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync } from 'node:zlib';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const XDS_GENERATED = 'src/edge/xds/gen';
const DIGEST = join(ROOT, XDS_GENERATED, 'digest.txt');
/** Files that Envoy's API imports and the package leaves out. */
const EXTRA = join(ROOT, 'src/edge/xds/proto');
const PACKAGES = ['@grpc/grpc-js-xds', '@bufbuild/buf', '@bufbuild/protoc-gen-es'];

/** Messages by package below `envoy.`; one line more makes one more available. */
const TYPES = {
  'service.discovery.v3': ['DiscoveryRequest', 'DiscoveryResponse', 'DeltaDiscoveryRequest', 'DeltaDiscoveryResponse'],
  'config.bootstrap.v3': ['Bootstrap'],
  'config.cluster.v3': ['Cluster'],
  'config.core.v3': ['TypedExtensionConfig'],
  'config.endpoint.v3': ['ClusterLoadAssignment'],
  'config.listener.v3': ['Listener'],
  'config.route.v3': ['RouteConfiguration'],
  'extensions.access_loggers.file.v3': ['FileAccessLog'],
  'extensions.access_loggers.open_telemetry.v3': ['OpenTelemetryAccessLogConfig'],
  'extensions.access_loggers.stream.v3': ['StdoutAccessLog', 'StderrAccessLog'],
  'extensions.filters.http.ext_authz.v3': ['ExtAuthz'],
  'extensions.filters.http.lua.v3': ['Lua'],
  'extensions.filters.http.jwt_authn.v3': ['JwtAuthentication'],
  'extensions.filters.http.local_ratelimit.v3': ['LocalRateLimit'],
  'extensions.filters.http.rbac.v3': ['RBAC'],
  'extensions.filters.http.router.v3': ['Router'],
  'extensions.filters.http.wasm.v3': ['Wasm'],
  'extensions.filters.listener.tls_inspector.v3': ['TlsInspector'],
  'extensions.filters.network.connection_limit.v3': ['ConnectionLimit'],
  'extensions.filters.network.ext_authz.v3': ['ExtAuthz'],
  'extensions.filters.network.http_connection_manager.v3': ['HttpConnectionManager'],
  'extensions.filters.network.rbac.v3': ['RBAC'],
  'extensions.filters.network.set_filter_state.v3': ['Config'],
  'extensions.filters.network.sni_cluster.v3': ['SniCluster'],
  'extensions.filters.network.tcp_proxy.v3': ['TcpProxy'],
  'extensions.filters.network.wasm.v3': ['Wasm'],
  'extensions.matching.common_inputs.network.v3': ['FilterStateInput'],
  'extensions.transport_sockets.internal_upstream.v3': ['InternalUpstreamTransport'],
  'extensions.transport_sockets.raw_buffer.v3': ['RawBuffer'],
  'extensions.transport_sockets.tls.v3': ['Secret', 'UpstreamTlsContext', 'DownstreamTlsContext'],
  'extensions.upstreams.http.v3': ['HttpProtocolOptions'],
};

/** Folders below `envoy/` with all that users may write as JSON. */
const API_FOLDERS = ['config', 'extensions', 'type', 'data'];
/** Older versions of the API, which Envoy does not take any more. */
const OUTDATED = /\/v[12](alpha\d*)?\/[^/]+\.proto$/;
/** What they import does not come with the package. */
const WITHOUT_IMPORTS = ['envoy/config/trace/v3/opencensus.proto', 'envoy/config/trace/v3/trace.proto'];

/** Rules that Envoy itself enforces: nothing of them is needed in messages that are sent. */
const LEFT_OUT = ['validate.rules', 'validate.required', 'validate.disabled'];

/**
 * The shipped validate.proto is older than the shipped API, which uses a field that it lacks; numbers as in the newer
 * one.
 */
const IGNORE_EMPTY = { String: 26, Bytes: 14, Repeated: 5, Map: 6, Numeric: 8 };

/**
 * Fields that Envoy has and the shipped API lacks: [file, what the line goes after, line].
 * @type {readonly (readonly [file: string, after: string, line: string])[]}
 */
const NEWER = [
  [
    'envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto',
    'import "envoy/config/accesslog/v3/accesslog.proto";',
    'import "envoy/config/core/v3/backoff.proto";',
  ],
  [
    'envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto',
    'google.protobuf.UInt32Value max_connect_attempts = 7 [(validate.rules).uint32 = {gte: 1}];',
    'config.core.v3.BackoffStrategy backoff_options = 18;',
  ],
  [
    'envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto',
    'TcpAccessLogOptions access_log_options = 17;',
    'enum ConnectMode { IMMEDIATE = 0; ON_DOWNSTREAM_DATA = 1; ON_DOWNSTREAM_TLS_HANDSHAKE = 2; }' +
      ' ConnectMode upstream_connect_mode = 21; google.protobuf.UInt32Value max_early_data_bytes = 22;',
  ],
  [
    'envoy/extensions/filters/network/set_filter_state/v3/set_filter_state.proto',
    'repeated common.set_filter_state.v3.FilterStateValue on_new_connection = 1;',
    'repeated common.set_filter_state.v3.FilterStateValue on_downstream_tls_handshake = 2;',
  ],
];

/** Writes the generated code to `out`. `buf` runs the tool with arguments in a folder. */
function generateInto(/** @type {string} */ out, /** @type {(cwd: string, ...args: string[]) => void} */ buf) {
  const work = mkdtempSync(join(tmpdir(), 'isthmus-xds-'));
  try {
    const deps = join(ROOT, 'node_modules/@grpc/grpc-js-xds/deps');
    for (const module of ['envoy-api', 'xds', 'googleapis'])
      cpSync(join(deps, module), join(work, module), { recursive: true });
    cpSync(EXTRA, join(work, 'extra'), { recursive: true });
    mkdirSync(join(work, 'extra/validate'), { recursive: true });
    writeFileSync(
      join(work, 'extra/validate/validate.proto'),
      patched(readFileSync(join(deps, 'protoc-gen-validate/validate/validate.proto'), 'utf8')),
    );
    for (const [file, after, line] of NEWER) insert(join(work, 'envoy-api', file), after, line);
    for (const file of readdirSync(join(work, 'envoy-api'), { recursive: true }).map(String))
      if (OUTDATED.test(file) || WITHOUT_IMPORTS.includes(file))
        rmSync(join(work, 'envoy-api', file), { recursive: true });
    const modules = ['envoy-api', 'xds', 'googleapis', 'extra'].map((path) => ({ path }));
    writeFileSync(join(work, 'buf.yaml'), JSON.stringify({ version: 'v2', modules }));
    const plugin = {
      local: join(ROOT, 'node_modules/.bin/protoc-gen-es'),
      out,
      // Enums, which the rest of the project does without, are part of the generated code.
      include_imports: true,
      opt: ['target=ts', 'import_extension=ts', 'ts_nocheck=true'],
    };
    writeFileSync(join(work, 'buf.gen.yaml'), JSON.stringify({ version: 'v2', clean: true, plugins: [plugin] }));
    const folders = Object.keys(TYPES).flatMap((name) => ['--path', `envoy-api/envoy/${name.replaceAll('.', '/')}`]);
    buf(work, 'build', ...folders, '--exclude-source-info', '--output', 'image.binpb');
    const types = Object.entries(TYPES).flatMap(([name, messages]) =>
      messages.flatMap((m) => ['--type', `envoy.${name}.${m}`]),
    );
    const without = LEFT_OUT.flatMap((name) => ['--exclude-type', name]);
    buf(work, 'generate', 'image.binpb', ...types, ...without);
    const all = API_FOLDERS.flatMap((name) => ['--path', `envoy-api/envoy/${name}`]);
    buf(work, 'build', ...all, '--exclude-source-info', '--output', 'api.binpb');
    writeFileSync(join(out, 'api.ts'), apiModule(readFileSync(join(work, 'api.binpb'))));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What all messages are like, for those that users write as JSON: only read when there are such. */
function apiModule(/** @type {Buffer} */ descriptors) {
  const text = brotliCompressSync(descriptors).toString('base64');
  return (
    `// A google.protobuf.FileDescriptorSet, compressed by Brotli, in base64.\nexport const ENVOY_API =\n  ` +
    `'${text}';\n`
  );
}

function insert(/** @type {string} */ file, /** @type {string} */ after, /** @type {string} */ line) {
  const text = readFileSync(file, 'utf8');
  if (!text.includes(after)) throw new Error(`${file} has no line ${after}`);
  writeFileSync(file, text.replace(after, `${after}\n${line}`));
}

function patched(/** @type {string} */ text) {
  return text.replace(/message (\w+)Rules \{/g, (/** @type {string} */ start, /** @type {string} */ type) => {
    const number =
      /** @type {Readonly<Record<string, number>>} */ (IGNORE_EMPTY)[type] ??
      (/^[SU]?(Int|Fixed|SFixed)\d+$|^Float$|^Double$/.test(type) ? IGNORE_EMPTY.Numeric : undefined);
    return number === undefined ? start : `${start}\n    optional bool ignore_empty = ${number};`;
  });
}

/** Of everything that the generated code depends on, and of the code itself. */
function digest() {
  const hash = createHash('sha256');
  const versions = PACKAGES.map(
    (name) => JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8')).version,
  );
  hash.update(JSON.stringify([versions, API_FOLDERS, TYPES, LEFT_OUT, IGNORE_EMPTY, NEWER]));
  for (const folder of [EXTRA, join(ROOT, XDS_GENERATED)]) {
    const names = readdirSync(folder, { recursive: true }).map(String).sort();
    for (const name of names) {
      const file = join(folder, name);
      if (file === DIGEST || !statSync(file).isFile()) continue;
      hash.update(`\0${name}\0`).update(readFileSync(file));
    }
  }
  return hash.digest('hex');
}

export function generateXds(/** @type {(cwd: string, ...args: string[]) => void} */ buf) {
  generateInto(join(ROOT, XDS_GENERATED), buf);
  writeFileSync(DIGEST, `${digest()}\n`);
}

/** False when the code is not what would be generated now. */
export function isXdsFresh() {
  try {
    return readFileSync(DIGEST, 'utf8').trim() === digest();
  } catch {
    return false;
  }
}
