import { formatDuration } from '../lib/duration.ts';
import type { Values } from './keys/table.ts';
import type { Reject } from './reject.ts';
import type { RpcTls, RpcVerification, TlsConfig, TlsSection } from './types.ts';

type Section = 'internal_rpc' | 'https' | 'grpc';
type Shared =
  | 'ca_file'
  | 'ca_path'
  | 'cert_file'
  | 'key_file'
  | 'verify_incoming'
  | 'tls_min_version'
  | 'tls_cipher_suites';

export interface TlsInput {
  readonly values: Values;
  readonly origins: ReadonlyMap<string, string>;
  readonly warnings: string[];
  readonly reject: Reject;
}

/** What the old names, `tls.defaults` and the blocks come to. */
export function buildTls(input: TlsInput): TlsConfig {
  const https = buildSection(input, 'https');
  return { rpc: buildRpc(input), https, grpc: buildSection(input, 'grpc') };
}

function buildRpc(input: TlsInput): RpcTls {
  const { values, origins, reject } = input;
  const section = buildSection(input, 'internal_rpc');
  const hostname = pickRpc(input, 'verify_server_hostname');
  const outgoing = pickRpc(input, 'verify_outgoing');
  const managedCertMs = values['tls.internal_rpc.managed_cert_ttl'];
  if (managedCertMs < MIN_CERT_MS)
    reject(
      'tls.internal_rpc.managed_cert_ttl',
      `"tls.internal_rpc.managed_cert_ttl" must be at least ${formatDuration(MIN_CERT_MS)}`,
    );
  const allowPlaintext = values.allow_plaintext;
  if (values['tls.internal_rpc.managed'] || values.join_invite !== '') {
    const given = (path: keyof Values, otherwise: boolean): boolean =>
      origins.has(path) ? values[path] === true : otherwise;
    const verification = {
      verifyIncoming: given(pick(input, 'verify_incoming', 'internal_rpc'), !allowPlaintext),
      verifyOutgoing: given(outgoing, !allowPlaintext),
      verifyServerHostname: given(hostname, true),
    };
    const elsewhere = allowPlaintext ? verification : STRICT;
    return { ...section, ...NO_FILES, ...verification, elsewhere, allowPlaintext, managed: true, managedCertMs };
  }
  const verifyServerHostname = values[hostname];
  const verifyOutgoing = values[outgoing] || verifyServerHostname;
  const hasCa = section.caFile !== '' || section.caPath !== '';
  if (section.verifyIncoming && (!hasCa || section.certFile === ''))
    reject(
      INCOMING.find((path) => origins.has(path)) ?? 'verify_incoming',
      `to verify who comes in, the server ports need ` +
        `${hasCa ? 'cert_file and key_file' : 'ca_file (or ca_path), cert_file and key_file'}${OR_MANAGED}`,
    );
  if (verifyOutgoing && !hasCa)
    reject(
      values[outgoing] ? outgoing : hostname,
      `to verify servers, ca_file or ca_path must name the authorities${OR_MANAGED}`,
    );
  const verification = { verifyIncoming: section.verifyIncoming, verifyOutgoing, verifyServerHostname };
  // Certificates from files need not name a server: Consul's do, those of other authorities may not.
  const names = verifyServerHostname || (!hasCa && section.certFile === '');
  const elsewhere = allowPlaintext ? verification : { ...STRICT, verifyServerHostname: names };
  return { ...section, ...verification, elsewhere, allowPlaintext, managed: false, managedCertMs };
}

/** What counts for other machines unless the configuration allows them plain text. */
const STRICT: RpcVerification = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };
const MIN_CERT_MS = 10_000;
const NO_FILES = { caFile: '', caPath: '', certFile: '', keyFile: '' } as const;
const OR_MANAGED = '; or set tls { internal_rpc { managed = true } } for certificates without files';
const INCOMING = [
  'tls.internal_rpc.verify_incoming',
  'tls.defaults.verify_incoming',
  'verify_incoming',
  'verify_incoming_rpc',
] as const;

function buildSection(input: TlsInput, section: Section): TlsSection {
  const { values, reject } = input;
  const value = <N extends Shared>(name: N): Values[N] => values[pick(input, name, section)] as Values[N];
  const certFile = value('cert_file');
  const keyFile = value('key_file');
  if ((certFile === '') !== (keyFile === ''))
    reject(pick(input, certFile === '' ? 'key_file' : 'cert_file', section), '"cert_file" and "key_file" go together');
  const incoming = pick(input, 'verify_incoming', section);
  const older =
    section === 'https' ? values.verify_incoming_https : section === 'internal_rpc' && values.verify_incoming_rpc;
  return {
    caFile: value('ca_file'),
    caPath: value('ca_path'),
    certFile,
    keyFile,
    verifyIncoming: values[incoming] || (incoming === 'verify_incoming' && older),
    minVersion: minVersion(input, pick(input, 'tls_min_version', section)),
    ciphers: ciphers(value('tls_cipher_suites'), (text) => reject(pick(input, 'tls_cipher_suites', section), text)),
  };
}

/** The key that counts: the most particular one that was given. */
function pick<N extends Shared>(
  { origins }: TlsInput,
  name: N,
  section: Section,
): N | `tls.defaults.${N}` | `tls.${Section}.${N}` {
  const own = `tls.${section}.${name}` as const;
  const shared = `tls.defaults.${name}` as const;
  return origins.has(own) ? own : origins.has(shared) ? shared : name;
}

function pickRpc<N extends 'verify_outgoing' | 'verify_server_hostname'>(
  { origins }: TlsInput,
  name: N,
): N | `tls.defaults.${N}` | `tls.internal_rpc.${N}` {
  const own = `tls.internal_rpc.${name}` as const;
  const shared = `tls.defaults.${name}` as const;
  return origins.has(own) ? own : origins.has(shared) ? shared : name;
}

function minVersion({ values, origins, warnings }: TlsInput, path: keyof Values): TlsSection['minVersion'] {
  const version = values[path] as string;
  if (version.endsWith('3')) return 'TLSv1.3';
  if (/[01]$/.test(version)) {
    const text = `${origins.get(path) ?? ''}: "${path}" is below TLS 1.2, which is the oldest that is spoken`;
    if (!warnings.includes(text)) warnings.push(text);
  }
  return 'TLSv1.2';
}

/** Suites by the names of Consul (those of the RFCs) and by OpenSSL's, which Node wants. */
const SUITES: Readonly<Record<string, string>> = {
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: 'ECDHE-ECDSA-AES128-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: 'ECDHE-ECDSA-AES128-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: 'ECDHE-ECDSA-AES256-SHA',
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305: 'ECDHE-RSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 'ECDHE-RSA-AES128-SHA',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: 'ECDHE-RSA-AES128-SHA256',
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: 'ECDHE-RSA-AES256-SHA',
};
/** As in Consul, the suites of TLS 1.3 are always offered. */
const TLS_13 = ['TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_AES_128_GCM_SHA256'];

function ciphers(list: string, refuse: (text: string) => never): string {
  const names = list.split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()]));
  if (names.length === 0) return '';
  const known = names.map(
    (name) =>
      SUITES[name] ?? refuse(`unknown cipher suite ${JSON.stringify(name)}; known: ${Object.keys(SUITES).join(', ')}`),
  );
  return [...TLS_13, ...known].join(':');
}
