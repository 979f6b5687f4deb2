import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { TlsFiles, TlsSection } from '../../config/types.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { createTlsMaterial, type PemText, type TlsMaterial } from '../../pki/tls-material.ts';

/**
 * Reads what a section of the configuration names; undefined when it names nothing. Throws `invalid_argument` naming
 * key and file.
 */
export function readCertificates(section: TlsSection): TlsMaterial | undefined {
  const { caFile, caPath, certFile, keyFile, minVersion, ciphers } = section;
  if (caFile === '' && caPath === '' && certFile === '') return undefined;
  const ca = [...(caFile === '' ? [] : [readPem('ca_file', caFile)]), ...(caPath === '' ? [] : readDirectory(caPath))];
  const pair = certFile === '' ? {} : { cert: readPem('cert_file', certFile), key: readPem('key_file', keyFile) };
  return createTlsMaterial({ ca, ...pair }, { minVersion, ciphers });
}

/** Changes when one of the files is replaced or written; a missing one counts as a change too. */
export function fingerprintOfFiles({ caFile, caPath, certFile, keyFile }: TlsFiles): string {
  return [caFile, ...(caPath === '' ? [] : [caPath, ...filesIn(caPath)]), certFile, keyFile]
    .map((path) => {
      const stat = path === '' ? undefined : statSync(path, { bigint: true, throwIfNoEntry: false });
      return stat === undefined ? '' : `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
    })
    .join('\n');
}

function readPem(key: string, path: string): PemText {
  const from = `${key} ${JSON.stringify(path)}`;
  try {
    return { text: readFileSync(path, 'utf8'), from };
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'permission denied' : (code ?? '');
    throw new IsthmusError('invalid_argument', `${from} can't be read: ${why}`, { cause });
  }
}

/** The files of a directory that hold a certificate. */
function readDirectory(path: string): PemText[] {
  const found = filesIn(path)
    .map((file) => readPem('ca_path', file))
    .filter(({ text }) => text.includes('-----BEGIN CERTIFICATE-----'));
  if (found.length === 0)
    throw new IsthmusError('invalid_argument', `ca_path ${JSON.stringify(path)} holds no file with a PEM certificate`);
  return found;
}

function filesIn(path: string): string[] {
  try {
    return readdirSync(path)
      .sort()
      .map((name) => join(path, name))
      .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
  } catch {
    return []; // reading it says what is wrong
  }
}
