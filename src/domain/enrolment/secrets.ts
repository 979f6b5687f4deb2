import { IsthmusError } from '../../lib/errors.ts';
import { isSealed, openKey, sealKey } from '../../pki/seal.ts';
import { type SecretRows, secretRows } from '../../pki/secret-rows.ts';
import type { Tx } from '../../store/store.ts';
import { joinKey, type Table } from '../../store/table.ts';
import type { SecretRow } from './tables.ts';

/** The only door to the keys and tokens of the transport: encrypted at rest as the CA's keys are. */
export class Secrets {
  readonly #table: Table<SecretRow>;
  readonly #encryptionKey: Buffer | undefined;
  /** The secrets as they go into a snapshot, and come out of one. */
  readonly rows: SecretRows;

  constructor(table: Table<SecretRow>, encryptionKey: Buffer | undefined) {
    this.#table = table;
    this.#encryptionKey = encryptionKey;
    this.rows = secretRows({
      prefix: table.prefix,
      field: 'secret',
      encryptionKey,
      protect: (id, secret) => this.#protect(id, secret),
    });
  }

  put(tx: Tx, id: string, secret: string): void {
    tx.put(this.#table, { id, secret: this.#protect(id, secret) });
  }

  remove(tx: Tx, id: string): void {
    tx.delete(this.#table, joinKey(id));
  }

  /** Throws `rejected` when it is encrypted and can't be opened; undefined when there is none. */
  get(id: string): string | undefined {
    const secret = this.#table.get(joinKey(id))?.value.secret;
    if (secret === undefined || !isSealed(secret)) return secret;
    if (this.#encryptionKey === undefined)
      throw new IsthmusError('rejected', 'the keys are encrypted: set connect.ca_key_encryption_file to their key');
    return openKey(secret, id, this.#encryptionKey);
  }
  #protect(id: string, secret: string): string {
    const key = this.#encryptionKey;
    return key === undefined ? secret : sealKey(secret, id, key);
  }
}
