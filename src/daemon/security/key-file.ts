import { readFileSync } from 'node:fs';
import { IsthmusError } from '../../lib/errors.ts';

/**
 * The key that encrypts private keys at rest: 32 bytes as base64 or hexadecimal digits; undefined when no file is
 * named.
 */
export function readKeyFile(path: string): Buffer | undefined {
  if (path === '') return undefined;
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new IsthmusError('invalid_argument', `connect.ca_key_encryption_file ${path} can't be read`, { cause });
  }
  const key = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : Buffer.from(text, 'base64');
  if (key.length !== 32)
    throw new IsthmusError(
      'invalid_argument',
      `connect.ca_key_encryption_file ${path} must hold 32 bytes, as base64 or 64 hexadecimal digits`,
    );
  return key;
}
