import { IsthmusError } from '../../lib/errors.ts';
import { isSealed, openKey, sealKey } from '../../pki/seal.ts';
import { type SecretRows, secretRows } from '../../pki/secret-rows.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { CaTables } from './tables.ts';

/** The only door to the CA's private keys: encrypted at rest when the operator gave a key for that. */
export interface KeyStore {
  /** Writes a key within a transaction. */
  put(tx: Tx, id: string, secret: string): void;
  remove(tx: Tx, id: string): void;
  /** Throws `rejected` when it is encrypted and can't be opened, `not_found` when there is none. */
  get(id: string): string;
  /** Encrypts keys that are stored in the clear, now that there is a key for that. */
  sealAll(): Promise<number>;
  /** How the keys are kept now. */
  atRest(): 'none' | 'clear' | 'sealed';
  /** The keys as they go into a snapshot, and come out of one. */
  readonly rows: SecretRows;
}

export function createKeyStore(store: Store, tables: CaTables, encryptionKey: Buffer | undefined): KeyStore {
  const protect = (id: string, secret: string): string => {
    if (encryptionKey !== undefined) return sealKey(secret, id, encryptionKey);
    // Another server has the key for that: what it encrypts is not to lie beside one in the clear.
    if (tables.keys.list().some((row) => isSealed(row.value.key))) throw keyMissing();
    return secret;
  };

  return {
    put: (tx, id, secret) => tx.put(tables.keys, { id, key: protect(id, secret) }),
    remove: (tx, id) => tx.delete(tables.keys, id),
    get(id) {
      const row = tables.keys.get(id);
      if (row === undefined) throw new IsthmusError('not_found', `the CA key ${id} is not in the store`);
      const { key } = row.value;
      if (!isSealed(key)) return key;
      if (encryptionKey === undefined) throw keyMissing();
      return openKey(key, id, encryptionKey);
    },
    async sealAll() {
      if (encryptionKey === undefined) return 0;
      const { result } = await store.transact((tx) => {
        const open = tables.keys.list().filter((row) => !isSealed(row.value.key));
        for (const row of open) {
          const now = tx.get(tables.keys, row.key);
          if (now !== undefined) tx.put(tables.keys, { id: now.id, key: protect(now.id, now.key) });
        }
        return open.length;
      });
      return result;
    },
    atRest() {
      const rows = tables.keys.list();
      if (rows.length === 0) return 'none';
      return rows.every((row) => isSealed(row.value.key)) ? 'sealed' : 'clear';
    },
    rows: secretRows({ prefix: tables.keys.prefix, field: 'key', encryptionKey, protect }),
  };
}

function keyMissing(): IsthmusError {
  return new IsthmusError('rejected', 'the CA keys are encrypted: set connect.ca_key_encryption_file to their key');
}
