import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { formatDuration, tryParseDuration } from '../lib/duration.ts';
import { IsthmusError } from '../lib/errors.ts';
import { snakeCase } from '../lib/snake-case.ts';
import { unknownKey } from '../lib/suggest.ts';
import type { CaProviderName } from './ca-providers.ts';

/** The kind of a CA's key. */
type CaKeySpec =
  | { readonly type: 'ec'; readonly bits: 256 | 384 | 521 }
  | { readonly type: 'rsa'; readonly bits: 2048 | 4096 };

type Config = Readonly<Record<string, unknown>>;

/** The part of the configuration that all providers share, checked. */
export interface CaSettings {
  readonly leafTtlMs: number;
  /** Life of a root that is made here. */
  readonly rootTtlMs: number;
  readonly intermediateTtlMs: number;
  /** Age at which a root that was made here is replaced; 0: never. */
  readonly rotationPeriodMs: number;
  readonly key: CaKeySpec;
  /** True when the configuration names the kind of key. */
  readonly keyGiven: boolean;
  /** Signatures each second at most; 0: no limit. Default 1,000, less than half of what one server can. */
  readonly csrMaxPerSecond: number;
}

/** What a caller sends to change the configuration. */
export interface ConfigRequest {
  readonly provider: string;
  readonly config: Config;
  readonly forceWithoutCrossSigning: boolean;
}

export const DEFAULT_CONFIG: Config = {
  IntermediateCertTTL: '8760h',
  LeafCertTTL: '72h',
  RotationPeriod: '2160h',
};

const DEFAULT_ROOT_TTL = '87600h';

/** Not Consul's 50: a signature costs a thirtieth here. */
const DEFAULT_CSR_MAX_PER_SECOND = 1_000;

/** Spelled as files do; Consul reads no other. */
const CLUSTER_ID = 'cluster_id';

const HOUR = 3_600_000;
const MIN_LEAF_TTL = HOUR;
const MAX_LEAF_TTL = 8_760 * HOUR;
/** Renewal at half life needs room for several leaves below one intermediate. */
const INTERMEDIATE_LEAVES = 3;

/** Reads what was sent; wrong types are `invalid_argument`. */
export function readConfigRequest(input: unknown): ConfigRequest {
  if (!isRecord(input)) throw new IsthmusError('invalid_argument', 'the CA configuration must be an object');
  const { Provider: provider, Config: config, ForceWithoutCrossSigning: force } = input;
  if (provider !== undefined && typeof provider !== 'string')
    throw new IsthmusError('invalid_argument', 'Provider must be a string');
  if (config !== undefined && config !== null && !isRecord(config))
    throw new IsthmusError('invalid_argument', 'Config must be an object');
  if (force !== undefined && typeof force !== 'boolean')
    throw new IsthmusError('invalid_argument', 'ForceWithoutCrossSigning must be true or false');
  return { provider: provider ?? '', config: canonicalKeys(config ?? {}), forceWithoutCrossSigning: force ?? false };
}

/** Checks the shared part; throws the first fault. Consul's texts, where it has one. */
export function readSettings(config: Config): CaSettings {
  return readShared(config, (_key, text) => {
    throw badConfig(text);
  });
}

/** Takes a fault of a key; what it returns from is read on with the default. */
type Report = (key: string, text: string) => void;

function readShared(config: Config, report: Report): CaSettings {
  const leafTtlMs = duration(config, 'LeafCertTTL', report);
  if (leafTtlMs < MIN_LEAF_TTL)
    report('LeafCertTTL', `leaf cert TTL must be greater or equal than ${formatDuration(MIN_LEAF_TTL)}`);
  if (leafTtlMs > MAX_LEAF_TTL)
    report('LeafCertTTL', `leaf cert TTL must be less than ${formatDuration(MAX_LEAF_TTL)}`);
  const intermediateTtlMs = duration(config, 'IntermediateCertTTL', report);
  if (intermediateTtlMs < INTERMEDIATE_LEAVES * leafTtlMs)
    report(
      'IntermediateCertTTL',
      `intermediate cert TTL must be greater or equal than ${INTERMEDIATE_LEAVES} * LeafCertTTL ` +
        `(>=${formatDuration(INTERMEDIATE_LEAVES * leafTtlMs)})`,
    );
  const rootTtlMs = duration(config, 'RootCertTTL', report);
  if (isGiven(config.RootCertTTL) && rootTtlMs <= intermediateTtlMs)
    report(
      'RootCertTTL',
      `root cert TTL must be greater than intermediate cert TTL (>${formatDuration(intermediateTtlMs)})`,
    );
  const rotationPeriodMs = duration(config, 'RotationPeriod', report);
  if (rotationPeriodMs !== 0 && rotationPeriodMs < HOUR)
    report('RotationPeriod', 'rotation period must be 0 or at least 1h0m0s');
  const key = readKeySpec(config, report);
  const keyGiven = isGiven(config.PrivateKeyType) || isGiven(config.PrivateKeyBits);
  const csrMaxPerSecond = integer(config, 'CSRMaxPerSecond', report) ?? DEFAULT_CSR_MAX_PER_SECOND;
  if (csrMaxPerSecond < 0) report('CSRMaxPerSecond', 'CSRMaxPerSecond must not be negative');
  return { leafTtlMs, rootTtlMs, intermediateTtlMs, rotationPeriodMs, key, keyGiven, csrMaxPerSecond };
}

/** What is wrong with a key of a configuration file. */
export interface CaConfigFault {
  /** In the API's spelling. */
  readonly key: string;
  readonly text: string;
  /** The provider knows no such key. */
  readonly unknown: boolean;
}

/** Everything that is wrong with what a file says, before there is a provider: the rules of its start. */
export function caConfigFaults(provider: CaProviderName, config: Config): readonly CaConfigFault[] {
  const faults: CaConfigFault[] = [];
  const report: Report = (key, text) => void faults.push({ key, text, unknown: false });
  const known = PROVIDER_KEYS[provider];
  for (const key of Object.keys(config)) {
    if (known.includes(key)) continue;
    const names = known.map(snakeCase);
    faults.push({ key, text: unknownKey(`connect.ca_config.${key}`, key, names), unknown: true });
  }
  const { key: wanted, keyGiven } = readShared(config, report);
  const pem = text(config, 'PrivateKey', report);
  const rootCert = text(config, 'RootCert', report);
  const key = pem === '' ? undefined : readKey(pem, keyGiven ? wanted : undefined, report);
  if (rootCert !== '') readRoot(rootCert, pem === '' ? 'none' : key, report);
  return faults;
}

/** The value is not repeated: it is a secret. */
function readKey(pem: string, wanted: CaKeySpec | undefined, report: Report): KeyObject | undefined {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    report('PrivateKey', 'PrivateKey is not readable PEM (PKCS #8, SEC 1 or PKCS #1)');
    return undefined;
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const bits = type === 'rsa' ? details?.modulusLength : CURVES[details?.namedCurve ?? ''];
  if ((type !== 'ec' && type !== 'rsa') || bits === undefined)
    report('PrivateKey', 'PrivateKey must be an EC key (P-256, P-384, P-521) or an RSA key');
  else if (wanted !== undefined && (wanted.type !== type || wanted.bits !== bits))
    report('PrivateKey', 'PrivateKey is not of the kind that PrivateKeyType and PrivateKeyBits name');
  return key;
}

const CURVES: Readonly<Record<string, number>> = { prime256v1: 256, secp384r1: 384, secp521r1: 521 };

function readRoot(pem: string, key: KeyObject | 'none' | undefined, report: Report): void {
  if (key === 'none') {
    report('RootCert', 'RootCert needs the PrivateKey that belongs to it');
    return;
  }
  try {
    const certificate = new X509Certificate(pem);
    if (key !== undefined && !certificate.checkPrivateKey(key))
      report('RootCert', 'PrivateKey does not belong to RootCert');
  } catch {
    report('RootCert', 'RootCert is no certificate in PEM');
  }
}

/** The configuration without keys, and without the root that goes with one: fit to be stored, shown and sent again. */
export function publicConfig(config: Config): Record<string, unknown> {
  const shown = Object.entries(config).filter(([key]) => !NOT_KEPT.has(key));
  return Object.fromEntries(shown.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const NOT_KEPT: ReadonlySet<string> = new Set(['PrivateKey', 'RootCert']);

/** How a bad private key may be named in an error: only what is far too short to be one is repeated. */
export function redactKey(text: string): string {
  return text.length <= 8 && !text.includes('-') ? JSON.stringify(text) : '"(redacted)"';
}

export function badConfig(text: string): IsthmusError {
  return new IsthmusError('rejected', `error configuring provider: ${text}`);
}

export function stringOf(config: Config, key: string): string {
  return text(config, key, (_key, fault) => {
    throw badConfig(fault);
  });
}

function readKeySpec(config: Config, report: Report): CaKeySpec {
  const type = text(config, 'PrivateKeyType', report) || 'ec';
  if (type !== 'ec' && type !== 'rsa') {
    report('PrivateKeyType', "private key type must be either 'ec' or 'rsa'");
    return DEFAULT_KEY;
  }
  const bits = integer(config, 'PrivateKeyBits', report) || (type === 'ec' ? 256 : 2048);
  if (type === 'ec') {
    if (bits === 256 || bits === 384 || bits === 521) return { type, bits };
    report('PrivateKeyBits', 'EC key length must be one of: (256, 384, 521) bits');
  } else {
    if (bits === 2048 || bits === 4096) return { type, bits };
    report('PrivateKeyBits', 'RSA key length must be one of: (2048, 4096) bits');
  }
  return DEFAULT_KEY;
}

const DEFAULT_KEY: CaKeySpec = { type: 'ec', bits: 256 };

function text(config: Config, key: string, report: Report): string {
  const value = config[key];
  if (!isGiven(value)) return '';
  if (typeof value === 'string') return value;
  report(key, `${key} must be a string`);
  return '';
}

/** Milliseconds from a Go duration or a number of nanoseconds. */
function duration(config: Config, key: string, report: Report): number {
  const fallback = key === 'RootCertTTL' ? DEFAULT_ROOT_TTL : DEFAULT_CONFIG[key];
  const parse = (value: unknown): number | undefined => {
    if (typeof value === 'number' && Number.isFinite(value)) return value / 1e6;
    return typeof value === 'string' ? tryParseDuration(value) : undefined;
  };
  const ms = parse(isGiven(config[key]) ? config[key] : fallback);
  if (ms === undefined) report(key, `${key} must be a duration such as "72h"`);
  return ms ?? parse(fallback) ?? 0;
}

function integer(config: Config, key: string, report: Report): number | undefined {
  const value = config[key];
  if (!isGiven(value)) return undefined;
  const number = typeof value === 'string' ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number)) return number;
  report(key, `${key} must be a whole number`);
  return undefined;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Configuration files spell keys with underscores, the API in camel case: `leaf_cert_ttl` is `LeafCertTTL`. */
export function canonicalKeys(config: Config): Record<string, unknown> {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [CANONICAL[key.toLowerCase()] ?? key, value]));
}

/**
 * What each provider's configuration may hold, in the API's spelling. `cluster_id` is read once, when the first root is
 * made. `CSRMaxConcurrent` has no effect: signatures are limited by `CSRMaxPerSecond` alone.
 */
const SHARED_KEYS = [
  'LeafCertTTL',
  'RootCertTTL',
  'IntermediateCertTTL',
  'RotationPeriod',
  'PrivateKeyType',
  'PrivateKeyBits',
  'CSRMaxPerSecond',
  'CSRMaxConcurrent',
];
const PROVIDER_KEYS: Readonly<Record<CaProviderName, readonly string[]>> = {
  consul: [...SHARED_KEYS, 'PrivateKey', 'RootCert', CLUSTER_ID],
};

const CANONICAL: Readonly<Record<string, string>> = Object.fromEntries(
  Object.values(PROVIDER_KEYS)
    .flat()
    .flatMap((key) => [
      [key.toLowerCase(), key],
      [snakeCase(key), key],
    ]),
);
