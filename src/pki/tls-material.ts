import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { IsthmusError } from '../lib/errors.ts';

/** A text and where it is from, for errors. */
export interface PemText {
  readonly text: string;
  /** `cert_file "/etc/…/server.pem"` */
  readonly from: string;
}

export interface TlsPems {
  /** Authorities that others are checked against. */
  readonly ca: readonly PemText[];
  /** Own certificate and what stands between it and the authority. */
  readonly cert?: PemText;
  readonly key?: PemText;
}

export interface TlsOptions {
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** '' takes those of Node. */
  readonly ciphers: string;
}

/** Certificates that were found to fit together. */
export interface TlsMaterial {
  /** For sockets of either side. */
  readonly context: SecureContext;
  /** What `context` is made of, for servers of Node that make their own. */
  readonly options: SecureContextOptions;
  readonly authorities: readonly X509Certificate[];
  /** Absent when there are only authorities. */
  readonly own?: OwnCertificate;
}

export interface OwnCertificate {
  /** The names that it is for, as Node writes them: "DNS:server.dc1.consul, DNS:localhost". */
  readonly names: string;
  /** Milliseconds since 1970; of the certificate in the chain that ends first. */
  readonly notBefore: number;
  readonly notAfter: number;
}

const BLOCK = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;
/** More than this is no file of certificates, characters. */
const MAX_TEXT = 4 << 20;

/**
 * Checks that certificate, key and authorities are readable and fit together; throws `invalid_argument` naming what
 * does not.
 */
export function createTlsMaterial(pems: TlsPems, { minVersion, ciphers }: TlsOptions): TlsMaterial {
  const authorities = pems.ca.flatMap(readCertificates);
  const { cert, key } = pems;
  const chain = cert === undefined ? [] : readCertificates(cert);
  const own = cert === undefined || key === undefined ? undefined : checkPair(chain, cert, key);
  const options: SecureContextOptions = {
    minVersion,
    ...(ciphers === '' ? {} : { ciphers }),
    ...(authorities.length === 0 ? {} : { ca: authorities.map(String) }),
    ...(cert === undefined || key === undefined ? {} : { cert: withRoot(chain, authorities), key: key.text }),
  };
  try {
    return { context: createSecureContext(options), options, authorities, ...(own === undefined ? {} : { own }) };
  } catch (cause) {
    throw new IsthmusError('invalid_argument', `these certificates can't be used: ${(cause as Error).message}`, {
      cause,
    });
  }
}

function readCertificates({ text, from }: PemText): X509Certificate[] {
  const blocks = text.length > MAX_TEXT ? null : text.match(BLOCK);
  if (blocks === null) throw new IsthmusError('invalid_argument', `${from} holds no PEM certificate`);
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new IsthmusError('invalid_argument', `${from} holds a certificate that can't be read`, { cause });
    }
  });
}

function checkPair(chain: readonly X509Certificate[], cert: PemText, key: PemText): OwnCertificate {
  const [leaf] = chain as [X509Certificate, ...X509Certificate[]];
  let fits: boolean;
  try {
    fits = leaf.checkPrivateKey(createPrivateKey(key.text));
  } catch {
    // Without the cause, which could quote the key.
    throw new IsthmusError('invalid_argument', `${key.from} holds no private key that can be read`);
  }
  if (!fits)
    throw new IsthmusError('invalid_argument', `${key.from} is not the key of the certificate in ${cert.from}`);
  return {
    names: leaf.subjectAltName ?? '',
    notBefore: Math.max(...chain.map(({ validFrom }) => Date.parse(validFrom))),
    notAfter: Math.min(...chain.map(({ validTo }) => Date.parse(validTo))),
  };
}

/** The chain with its root, which those who only know the root's fingerprint need to see. */
function withRoot(chain: readonly X509Certificate[], authorities: readonly X509Certificate[]): string {
  const sent = [...chain];
  for (let last = sent.at(-1); last !== undefined && sent.length < MAX_CHAIN; last = sent.at(-1)) {
    const subject = last;
    if (subject.checkIssued(subject)) break;
    const issuer = authorities.find((one) => subject.checkIssued(one) && subject.verify(one.publicKey));
    if (issuer === undefined) break;
    sent.push(issuer);
  }
  return sent.join('');
}

const MAX_CHAIN = 5;
