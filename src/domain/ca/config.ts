import { formatDuration, tryParseDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { KeySpec } from '../../pki/keys.ts';

/** The part of the configuration that all providers share, checked. */
export interface CaSettings {
  readonly leafTtlMs: number;
  readonly intermediateTtlMs: number;
  /** Age at which a root that was made here is replaced; 0: never. */
  readonly rotationPeriodMs: number;
  readonly key: KeySpec;
  /** True when the configuration names the kind of key. */
  readonly keyGiven: boolean;
  /** Signatures each second at most; 0: no limit. Default 1,000, less than half of what one server can. */
  readonly csrMaxPerSecond: number;
}

/** What a caller sends to change the configuration. */
export interface ConfigRequest {
  readonly provider: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly forceWithoutCrossSigning: boolean;
}

export const DEFAULT_CONFIG: Readonly<Record<string, unknown>> = {
  IntermediateCertTTL: '8760h',
  LeafCertTTL: '72h',
  RotationPeriod: '2160h',
};

/** Not Consul's 50: a signature costs a thirtieth here. */
const DEFAULT_CSR_MAX_PER_SECOND = 1_000;

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

/** Checks the shared part. The peer's texts, where it has one. */
export function readSettings(config: Readonly<Record<string, unknown>>): CaSettings {
  const leafTtlMs = duration(config, 'LeafCertTTL');
  if (leafTtlMs < MIN_LEAF_TTL)
    throw badConfig(`leaf cert TTL must be greater or equal than ${formatDuration(MIN_LEAF_TTL)}`);
  if (leafTtlMs > MAX_LEAF_TTL) throw badConfig(`leaf cert TTL must be less than ${formatDuration(MAX_LEAF_TTL)}`);
  const intermediateTtlMs = duration(config, 'IntermediateCertTTL');
  if (intermediateTtlMs < INTERMEDIATE_LEAVES * leafTtlMs)
    throw badConfig(
      `intermediate cert TTL must be greater or equal than ${INTERMEDIATE_LEAVES} * LeafCertTTL (>=${formatDuration(INTERMEDIATE_LEAVES * leafTtlMs)})`,
    );
  const rotationPeriodMs = duration(config, 'RotationPeriod');
  if (rotationPeriodMs !== 0 && rotationPeriodMs < HOUR)
    throw badConfig('rotation period must be 0 or at least 1h0m0s');
  const key = readKeySpec(config);
  const keyGiven = isGiven(config.PrivateKeyType) || isGiven(config.PrivateKeyBits);
  const csrMaxPerSecond = integer(config, 'CSRMaxPerSecond') ?? DEFAULT_CSR_MAX_PER_SECOND;
  if (csrMaxPerSecond < 0) throw badConfig('CSRMaxPerSecond must not be negative');
  return { leafTtlMs, intermediateTtlMs, rotationPeriodMs, key, keyGiven, csrMaxPerSecond };
}

/** The configuration without keys, and without the root that goes with one: fit to be stored, shown and sent again. */
export function publicConfig(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
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

export function stringOf(config: Readonly<Record<string, unknown>>, key: string): string {
  const value = config[key];
  if (!isGiven(value)) return '';
  if (typeof value !== 'string') throw badConfig(`${key} must be a string`);
  return value;
}

function readKeySpec(config: Readonly<Record<string, unknown>>): KeySpec {
  const type = stringOf(config, 'PrivateKeyType') || 'ec';
  if (type !== 'ec' && type !== 'rsa') throw badConfig("private key type must be either 'ec' or 'rsa'");
  const bits = integer(config, 'PrivateKeyBits') || (type === 'ec' ? 256 : 2048);
  if (type === 'ec') {
    if (bits !== 256 && bits !== 384 && bits !== 521)
      throw badConfig('EC key length must be one of: (256, 384, 521) bits');
    return { type, bits };
  }
  if (bits !== 2048 && bits !== 4096) throw badConfig('RSA key length must be one of: (2048, 4096) bits');
  return { type, bits };
}

/** Milliseconds from a Go duration or a number of nanoseconds. */
function duration(config: Readonly<Record<string, unknown>>, key: string): number {
  const value = isGiven(config[key]) ? config[key] : DEFAULT_CONFIG[key];
  if (typeof value === 'number' && Number.isFinite(value)) return value / 1e6;
  const ms = typeof value === 'string' ? tryParseDuration(value) : undefined;
  if (ms === undefined) throw badConfig(`${key} must be a duration such as "72h"`);
  return ms;
}

function integer(config: Readonly<Record<string, unknown>>, key: string): number | undefined {
  const value = config[key];
  if (!isGiven(value)) return undefined;
  const number = typeof value === 'string' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number)) throw badConfig(`${key} must be a whole number`);
  return number;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '';
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Configuration files spell keys with underscores, the API in camel case: `leaf_cert_ttl` is `LeafCertTTL`. */
export function canonicalKeys(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(config).map(([key, value]) => [CANONICAL[key.toLowerCase()] ?? key, value]));
}

const CANONICAL: Readonly<Record<string, string>> = Object.fromEntries(
  [
    ['LeafCertTTL', 'leaf_cert_ttl'],
    ['IntermediateCertTTL', 'intermediate_cert_ttl'],
    ['RotationPeriod', 'rotation_period'],
    ['PrivateKey', 'private_key'],
    ['PrivateKeyType', 'private_key_type'],
    ['PrivateKeyBits', 'private_key_bits'],
    ['RootCert', 'root_cert'],
    ['CSRMaxPerSecond', 'csr_max_per_second'],
    ['CSRMaxConcurrent', 'csr_max_concurrent'],
  ].flatMap(([camel, snake]) => [
    [(camel as string).toLowerCase(), camel as string],
    [snake as string, camel as string],
  ]),
);
