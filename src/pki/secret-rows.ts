import { IsthmusError } from '../lib/errors.ts';
import { isSealed, openKey, sealKey } from './seal.ts';

/** A row of a store: its JSON text under its key. */
export interface SecretRow {
  readonly key: string;
  readonly value: string;
}

/** A table of private keys and the like, as it goes into a snapshot and comes out of one. */
export interface SecretRows {
  /** The row as it leaves: a secret that is kept in the clear is sealed. Other tables' rows pass. */
  leaving<R extends SecretRow>(row: R, snapshotKey: () => Buffer): R;
  /** The row as it is to be stored here. Throws `rejected` when it is a secret that can't be opened here. */
  arriving<R extends SecretRow>(row: R, snapshotKey: Buffer | undefined): R;
}

export interface SecretRowsOptions {
  /** Of the table's keys. */
  readonly prefix: string;
  /** Of the row `{ id, [field] }` that is the secret. */
  readonly field: string;
  /** The operator's, with which secrets are kept here; undefined: they are kept in the clear. */
  readonly encryptionKey: Buffer | undefined;
  /** The secret as it is kept here. */
  readonly protect: (id: string, secret: string) => string;
}

export function secretRows({ prefix, field, encryptionKey, protect }: SecretRowsOptions): SecretRows {
  const changed = <R extends SecretRow>(row: R, change: (id: string, secret: string) => string): R => {
    if (!row.key.startsWith(prefix)) return row;
    const stored = JSON.parse(row.value) as Readonly<Record<string, string>>;
    const secret = stored[field] ?? '';
    const now = change(stored.id ?? '', secret);
    return now === secret ? row : { ...row, value: JSON.stringify({ ...stored, [field]: now }) };
  };
  return {
    leaving: (row, snapshotKey) =>
      changed(row, (id, secret) => (isSealed(secret) ? secret : sealKey(secret, id, encryptionKey ?? snapshotKey()))),
    arriving: (row, snapshotKey) =>
      changed(row, (id, secret) => {
        if (!isSealed(secret)) return protect(id, secret);
        const keys = [encryptionKey, snapshotKey].filter((key) => key !== undefined);
        const opened = openWith(keys, secret, id);
        return opened.key === encryptionKey ? secret : protect(id, opened.secret);
      }),
  };
}

const WHERE =
  'set connect.ca_key_encryption_file to the key of the server that wrote it or, where it had none, copy that ' +
  "server's " +
  'snapshot.key into data_dir';

function openWith(keys: readonly Buffer[], sealed: string, id: string): { readonly secret: string; key: Buffer } {
  if (keys.length === 0) throw new IsthmusError('rejected', `the private keys in the snapshot are sealed: ${WHERE}`);
  for (const key of keys) {
    try {
      return { secret: openKey(sealed, id, key), key };
    } catch {
      // another key may be the right one
    }
  }
  throw new IsthmusError(
    'rejected',
    `the private keys in the snapshot cannot be decrypted with the key that this server has: ${WHERE}`,
  );
}
