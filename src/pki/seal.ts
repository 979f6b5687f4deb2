import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { IsthmusError } from '../lib/errors.ts';

const PREFIX = 'sealed:v1:';
const NONCE = 12;
const TAG = 16;
const KEY = 32;

/** True for what {@link sealKey} wrote. */
export function isSealed(text: string): boolean {
  return text.startsWith(PREFIX);
}

/**
 * Encrypts a private key's PEM with AES-256-GCM. `name` (the key's ID) is authenticated with it, so that a sealed key
 * can't be put in another's place.
 */
export function sealKey(pem: string, name: string, encryptionKey: Buffer): string {
  checkKey(encryptionKey);
  const nonce = randomBytes(NONCE);
  const cipher = createCipheriv('aes-256-gcm', encryptionKey, nonce);
  cipher.setAAD(Buffer.from(name, 'utf8'));
  const body = Buffer.concat([cipher.update(pem, 'utf8'), cipher.final()]);
  return PREFIX + Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64');
}

/** Throws `rejected` when the key is not the one that it was sealed with, or the text was changed. */
export function openKey(sealed: string, name: string, encryptionKey: Buffer): string {
  checkKey(encryptionKey);
  const bytes = Buffer.from(isSealed(sealed) ? sealed.slice(PREFIX.length) : '', 'base64');
  if (bytes.length < NONCE + TAG) throw new IsthmusError('rejected', 'a stored CA key is damaged');
  try {
    const decipher = createDecipheriv('aes-256-gcm', encryptionKey, bytes.subarray(0, NONCE));
    decipher.setAAD(Buffer.from(name, 'utf8'));
    decipher.setAuthTag(bytes.subarray(NONCE, NONCE + TAG));
    return Buffer.concat([decipher.update(bytes.subarray(NONCE + TAG)), decipher.final()]).toString('utf8');
  } catch {
    throw new IsthmusError(
      'rejected',
      'the CA key cannot be decrypted: the encryption key is not the one it was sealed with',
    );
  }
}

/** The operator's key file: 32 raw bytes, or their hexadecimal or base64 form. */
export function readEncryptionKey(contents: Buffer): Buffer {
  if (contents.length === KEY) return Buffer.from(contents);
  const text = contents.toString('latin1').trim();
  if (/^[0-9a-fA-F]{64}$/.test(text)) return Buffer.from(text, 'hex');
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, 'base64');
  throw new IsthmusError('invalid_argument', 'the key encryption file must hold 32 bytes, raw, hexadecimal or base64');
}

function checkKey(key: Buffer): void {
  if (key.length !== KEY) throw new IsthmusError('invalid_argument', 'the key encryption key must be 32 bytes');
}
