import { IsthmusError } from '../lib/errors.ts';
import { requireDefaultTenancy } from '../model/tenancy.ts';
import type { ClientOptions, ClientTls } from './options.ts';

/** What flags may say; each counts over the environment. Files are paths. */
export interface ClientSettings {
  readonly httpAddr?: string;
  readonly token?: string;
  readonly tokenFile?: string;
  readonly datacenter?: string;
  readonly stale?: boolean;
  readonly caFile?: string;
  readonly caPath?: string;
  readonly clientCert?: string;
  readonly clientKey?: string;
  readonly tlsServerName?: string;
  readonly namespace?: string;
  readonly partition?: string;
}

export interface ClientEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Throws as node:fs does. */
  readonly readFile: (path: string) => string;
  /** Paths of the files in a directory, sorted. Throws as node:fs does. */
  readonly listFiles: (path: string) => readonly string[];
}

const DEFAULT_ADDRESS = '127.0.0.1:8500';

/**
 * Options from flags and the environment. Each variable has two names: `ISTHMUS_HTTP_ADDR` counts over
 * `CONSUL_HTTP_ADDR`, and so on; `CONSUL_CACERT`, `CONSUL_CAPATH`, `CONSUL_CLIENT_CERT`, `CONSUL_CLIENT_KEY`,
 * `CONSUL_TLS_SERVER_NAME`.
 */
export function clientOptions(settings: ClientSettings, environment: ClientEnvironment): ClientOptions {
  const { env, readFile, listFiles } = environment;
  const variable = (name: string): string | undefined => {
    const value = env[`ISTHMUS_${name}`] || env[`CONSUL_${name}`];
    return value === '' ? undefined : value;
  };
  for (const tenancy of ['namespace', 'partition'] as const) {
    const name = tenancy.toUpperCase();
    const from = env[`ISTHMUS_${name}`] ? `ISTHMUS_${name}` : `CONSUL_${name}`;
    const flag = settings[tenancy];
    requireDefaultTenancy(tenancy, flag ?? variable(name), flag === undefined ? from : `-${tenancy}`, true);
  }
  const read = (path: string, what: string): string => {
    try {
      return readFile(path);
    } catch (error) {
      throw new IsthmusError('invalid_argument', `Error reading ${what} ${path}`, { cause: error });
    }
  };

  const tokenFile = settings.tokenFile ?? variable('HTTP_TOKEN_FILE');
  const token =
    settings.token ?? (tokenFile === undefined ? variable('HTTP_TOKEN') : read(tokenFile, 'token file').trim());
  const address = settings.httpAddr ?? variable('HTTP_ADDR') ?? DEFAULT_ADDRESS;
  const ssl = isTrue(variable('HTTP_SSL'), 'HTTP_SSL');
  const basicAuth = variable('HTTP_AUTH');

  const caFile = settings.caFile ?? variable('CACERT');
  const caPath = settings.caPath ?? variable('CAPATH');
  const certFile = settings.clientCert ?? variable('CLIENT_CERT');
  const keyFile = settings.clientKey ?? variable('CLIENT_KEY');
  const serverName = settings.tlsServerName ?? variable('TLS_SERVER_NAME');
  const verify = variable('HTTP_SSL_VERIFY');
  const authorities = (file: string | undefined, path: string | undefined): Pick<ClientTls, 'ca'> => {
    if (file !== undefined) return { ca: [read(file, 'CA file')] };
    if (path === undefined) return {};
    try {
      return { ca: listFiles(path).map(readFile) };
    } catch (error) {
      throw new IsthmusError('invalid_argument', `Error reading CA path ${path}`, { cause: error });
    }
  };
  const tls: ClientTls = {
    ...authorities(caFile, caPath),
    ...(certFile === undefined ? {} : { cert: read(certFile, 'client certificate') }),
    ...(keyFile === undefined ? {} : { key: read(keyFile, 'client key') }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(verify === undefined ? {} : { verify: isTrue(verify, 'HTTP_SSL_VERIFY') }),
  };
  return {
    address: ssl && !address.includes('://') ? `https://${address}` : address,
    ...(token === undefined ? {} : { token }),
    ...(settings.datacenter === undefined ? {} : { datacenter: settings.datacenter }),
    ...(settings.stale === undefined ? {} : { stale: settings.stale }),
    ...(basicAuth === undefined ? {} : { basicAuth }),
    tls,
  };
}

function isTrue(value: string | undefined, name: string): boolean {
  if (value === undefined) return false;
  if (/^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw new IsthmusError('invalid_argument', `${name} must be true or false, not ${JSON.stringify(value)}`);
}
