import { type Certificate, fingerprintOf, parseCertificate } from '../../pki/certificate.ts';
import { colonHex, keyIdOf } from '../../pki/keys.ts';
import type { ProviderConfig } from './providers/provider.ts';
import type { RootRow } from './tables.ts';
import { rootTemplate } from './template.ts';
import { validateRoot } from './validate.ts';

export interface NewRoot {
  readonly row: RootRow;
  /** For the key store. */
  readonly secret: string;
  readonly certificate: Certificate;
}

/** Has the provider make the root that the configuration asks for, and checks it. Nothing is written. */
export async function makeRoot(
  provider: string,
  wanted: ProviderConfig,
  clusterId: string,
  now: number,
): Promise<NewRoot> {
  const made = await wanted.createRoot(rootTemplate(clusterId, now, wanted.settings.rootTtlMs));
  const certificate = validateRoot(made.certPem, clusterId, now);
  const keyId = colonHex(keyIdOf(certificate.spki));
  const row: RootRow = {
    id: fingerprintOf(certificate),
    name: 'Consul CA Root Cert',
    serialNumber: jsonSerial(certificate.serial),
    clusterId,
    pem: made.certPem,
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
    keyType: made.key.type,
    keyBits: made.key.bits,
    state: 'next',
    crossSigned: [],
    intermediate: '',
    signingKeyId: certificate.subjectKeyId === undefined ? keyId : colonHex(certificate.subjectKeyId),
    provider,
    keyId,
    generated: made.generated,
    createdAt: now,
    supersededAt: 0,
    leafTtlMs: wanted.settings.leafTtlMs,
  };
  return { row, secret: made.secret, certificate };
}

/** True when the configuration can't be met by the active root. */
export function asksForOther(wanted: ProviderConfig, provider: string, active: RootRow): boolean {
  if (provider !== active.provider) return true;
  if (wanted.requiredRoot !== '') return fingerprintOf(parseCertificate(wanted.requiredRoot)) !== active.id;
  if (wanted.requiredKeyId !== '') return wanted.requiredKeyId !== active.keyId;
  const { key, keyGiven } = wanted.settings;
  return keyGiven && (key.type !== active.keyType || key.bits !== active.keyBits);
}

/** The lowest 53 bits, which a JSON number holds exactly; roots made here have 48. */
function jsonSerial(serial: Buffer): number {
  return Number(BigInt.asUintN(53, BigInt(`0x${serial.toString('hex')}`)));
}
