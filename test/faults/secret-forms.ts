import { createPrivateKey } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** One way in which a private key could be written down. */
export interface SecretForm {
  readonly name: string;
  readonly bytes: Buffer;
}

/** Every form of a key that is worth looking for: its PEM's lines, its DER, its scalar, and those in hex and base64. */
export function formsOf(pem: string): SecretForm[] {
  const key = createPrivateKey(pem);
  const scalar = Buffer.from(String(key.export({ format: 'jwk' }).d), 'base64url');
  const forms: SecretForm[] = [{ name: 'scalar', bytes: scalar }];
  const add = (name: string, text: string): void => {
    forms.push({ name, bytes: Buffer.from(text) });
  };
  for (const type of ['sec1', 'pkcs8'] as const) {
    const der = key.export({ format: 'der', type });
    forms.push({ name: `${type} DER`, bytes: der });
    add(`${type} hex`, der.toString('hex'));
    const lines = key
      .export({ format: 'pem', type })
      .toString()
      .split('\n')
      .filter((line) => !line.startsWith('-'));
    // The first line of an EC key is mostly fixed; the second holds the end of the scalar.
    for (const [at, line] of lines.entries()) if (line.length > 24) add(`line ${at} of the ${type} PEM`, line);
  }
  add('scalar in hex', scalar.toString('hex'));
  add('scalar in upper-case hex', scalar.toString('hex').toUpperCase());
  add('scalar in hex with colons', (scalar.toString('hex').match(/../g) ?? []).join(':'));
  // Base64 depends on where in three bytes the secret begins; the ends are cut to what does not depend on neighbours.
  for (let shift = 0; shift < 3; shift += 1) {
    const text = Buffer.concat([Buffer.alloc(shift), scalar])
      .toString('base64')
      .replaceAll('=', '')
      .slice(4, -2);
    add(`scalar in base64, offset ${shift}`, text);
    add(`scalar in base64url, offset ${shift}`, text.replaceAll('+', '-').replaceAll('/', '_'));
  }
  return forms;
}

/** Names of the forms that are in `haystack`. */
export function foundIn(haystack: Buffer, forms: readonly SecretForm[]): string[] {
  return forms.filter(({ bytes }) => haystack.includes(bytes)).map(({ name }) => name);
}

/** All bytes of all files below a folder. */
export function bytesBelow(folder: string): Buffer {
  const parts: Buffer[] = [];
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    parts.push(statSync(path).isDirectory() ? bytesBelow(path) : readFileSync(path));
  }
  return Buffer.concat(parts);
}
