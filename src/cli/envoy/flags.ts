import type { Io } from '../command.ts';
import { attempting } from '../command.ts';
import { hostPort } from '../commands/proxy-options.ts';
import { type FlagSpec, type Flags, UsageError } from '../flags.ts';
import { pemOf } from './agent-address.ts';
import type { BootstrapOptions } from './bootstrap.ts';
import type { MetricsTls } from './metrics-listeners.ts';

const DEFAULT_ADMIN = 'localhost:19000';
const DEFAULT_SCRAPE_PATH = '/metrics';

function text(name: string, placeholder: string, about: string): FlagSpec {
  return { name, kind: 'text', placeholder, about };
}

/** Flags of gateways: they are known, so that the answer is clear. */
const GATEWAY_FLAGS: readonly FlagSpec[] = [
  text('gateway', 'kind', 'mesh, terminating, ingress or api. This version runs no gateways yet, and says so.'),
  { name: 'register', kind: 'bool', about: 'Register the gateway before it starts. Goes with -gateway.' },
  text('address', 'host:port', 'Where the gateway listens on the LAN. Goes with -gateway.'),
  text('wan-address', 'host:port', 'Where others reach the gateway over the WAN. Goes with -gateway.'),
];

export const ENVOY_FLAGS: readonly FlagSpec[] = [
  text('sidecar-for', 'id', 'ID of a service of this agent; be its sidecar.'),
  text('proxy-id', 'id', 'ID of a proxy registered with this agent; be it. Else CONNECT_PROXY_ID.'),
  { name: 'bootstrap', kind: 'bool', about: 'Only print the bootstrap, with the token in it.' },
  {
    name: 'status',
    kind: 'bool',
    about:
      'Only print what the Envoys of this agent were sent, confirmed and rejected. With -proxy-id or -sidecar-for: ' +
      'that one.',
  },
  text('admin-bind', 'host:port', `Where Envoy serves its own administration. Default ${DEFAULT_ADMIN}.`),
  text('admin-access-log-path', 'file', 'Where requests to it are logged. Default /dev/null.'),
  text('envoy-binary', 'file', 'The Envoy to run. Default ENVOY_BIN, envoy in PATH, or one of the cache.'),
  text('envoy-version', 'version', 'Its version, such as 1.38.3. Default: the Envoy is asked.'),
  { name: 'ignore-envoy-compatibility', kind: 'bool', about: 'Start an Envoy whose version is not supported.' },
  text(
    'grpc-addr',
    'address',
    'Where the agent serves xDS: host:port, https://host:port or unix:///path. Else ISTHMUS_GRPC_ADDR, ' +
      'CONSUL_GRPC_ADDR or the port at 127.0.0.1 that the agent says is open.',
  ),
  text(
    'grpc-ca-file',
    'file',
    'PEM file with the authorities of its certificate; implies TLS. Else CONSUL_GRPC_CACERT.',
  ),
  text('grpc-ca-path', 'directory', 'Directory of such files. Else CONSUL_GRPC_CAPATH.'),
  text(
    'prometheus-backend-port',
    'port',
    'Port of the application that answers Prometheus instead of Envoy, where it adds its own metrics.',
  ),
  text('prometheus-scrape-path', 'path', `Path at which Prometheus asks. Default ${DEFAULT_SCRAPE_PATH}.`),
  text('prometheus-ca-file', 'file', 'PEM file with the authorities of Prometheus; the next two belong to it.'),
  text('prometheus-ca-path', 'directory', 'Directory of such files.'),
  text('prometheus-cert-file', 'file', 'PEM file with the certificate that Prometheus gets to see.'),
  text('prometheus-key-file', 'file', 'PEM file with its key.'),
  text('envoy-ready-bind-address', 'address', 'Address at which /ready is served; the next one belongs to it.'),
  text('envoy-ready-bind-port', 'port', 'Port at which /ready is served.'),
  { name: 'omit-deprecated-tags', kind: 'bool', about: 'Leave out the tags named as before Consul 1.9.' },
  ...GATEWAY_FLAGS,
];

/** Throws when a flag is given that only gateways have. */
export function refuseGateways(flags: Flags): void {
  const given = GATEWAY_FLAGS.find(({ name }) => flags.has(name));
  if (given === undefined) return;
  throw new UsageError(
    given.name === 'gateway' || flags.has('gateway')
      ? `-gateway=${flags.text('gateway')}: gateways come with a later version; this one runs sidecars`
      : `-${given.name} is for gateways, which come with a later version; a sidecar is registered with its service`,
  );
}

/** What of the bootstrap the flags say. */
export function bootstrapFlags(
  flags: Flags,
  io: Pick<Io, 'readFile' | 'listFiles'>,
): Pick<BootstrapOptions, 'admin' | 'metrics' | 'omitDeprecatedTags'> {
  const admin = hostPort(flags.text('admin-bind') || DEFAULT_ADMIN, 'admin-bind');
  const backendPort = portOf(flags, 'prometheus-backend-port');
  const tls = prometheusTls(flags, io);
  const readyPort = portOf(flags, 'envoy-ready-bind-port');
  const readyAddress = flags.text('envoy-ready-bind-address');
  if ((readyPort === undefined) !== (readyAddress === ''))
    throw new UsageError('-envoy-ready-bind-address and -envoy-ready-bind-port go together');
  const scrapePath = flags.text('prometheus-scrape-path') || DEFAULT_SCRAPE_PATH;
  if (!scrapePath.startsWith('/')) throw new UsageError('-prometheus-scrape-path must start with /');
  return {
    admin: {
      address: admin.address === 'localhost' ? '127.0.0.1' : admin.address,
      port: admin.port,
      accessLogPath: flags.text('admin-access-log-path') || '/dev/null',
    },
    metrics: {
      scrapePath,
      ...(backendPort === undefined ? {} : { backendPort }),
      ...(tls === undefined ? {} : { tls }),
      ...(readyPort === undefined ? {} : { ready: { address: readyAddress, port: readyPort } }),
    },
    omitDeprecatedTags: flags.bool('omit-deprecated-tags'),
  };
}

function portOf(flags: Flags, name: string): number | undefined {
  const given = flags.text(name);
  if (given === '') return undefined;
  const port = Number(given);
  if (/^\d{1,5}$/.test(given) && port > 0 && port < 65_536) return port;
  throw new UsageError(`invalid value ${JSON.stringify(given)} for flag -${name}: must be a port`);
}

function prometheusTls(flags: Flags, io: Pick<Io, 'readFile' | 'listFiles'>): MetricsTls | undefined {
  const [caFile, caPath, certFile, keyFile] = ['ca-file', 'ca-path', 'cert-file', 'key-file'].map((name) =>
    flags.text(`prometheus-${name}`),
  ) as [string, string, string, string];
  if ([caFile, caPath, certFile, keyFile].every((given) => given === '')) return undefined;
  if ((caFile === '' && caPath === '') || certFile === '' || keyFile === '')
    throw new UsageError(
      '-prometheus-cert-file, -prometheus-key-file and one of -prometheus-ca-file and -prometheus-ca-path go together',
    );
  const caPem =
    caFile === ''
      ? attempting('Error reading -prometheus-ca-path', () => pemOf(caPath, io))
      : attempting('Error reading -prometheus-ca-file', () => io.readFile(caFile));
  return { caPem, certFile, keyFile };
}
