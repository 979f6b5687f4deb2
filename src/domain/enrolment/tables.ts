import type { InvitationKind } from '../../model/transport.ts';
import type { Store } from '../../store/store.ts';
import { joinKey, type Table } from '../../store/table.ts';

/** What certificates of agents in this datacenter are made with. One row; all servers of the store share it. */
export interface AuthorityRow {
  /** PEM: what others are checked against. */
  readonly root: string;
  /** PEM of what signs here: the root in the primary, an intermediate below it elsewhere. */
  readonly issuer: string;
  /** Of the issuer's key among the secrets. */
  readonly keyId: string;
  /** Of the issuer, milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Where the primary was reached when this datacenter joined; empty in the primary. */
  readonly addresses: readonly string[];
  /** Of the replication token among the secrets; '' when there is none. */
  readonly tokenId: string;
}

/** Private keys and tokens. Nothing but `secrets.ts` reads this table, and nothing replicates it. */
export interface SecretRow {
  readonly id: string;
  /** As it is, or sealed with the operator's encryption key. */
  readonly secret: string;
}

export interface InvitationRow {
  readonly id: string;
  /** SHA-256 of the secret, hexadecimal. */
  readonly hash: string;
  readonly kind: InvitationKind;
  /** The only datacenter that may use it; '' any new one. */
  readonly datacenter: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly used?: InvitationUse;
}

export interface InvitationUse {
  readonly at: number;
  readonly datacenter: string;
  readonly node: string;
  /** SHA-256 of the public key that it was used for: the same joiner may ask again when the answer was lost. */
  readonly keyHash: string;
  /** Accessor of the replication token that came with it. */
  readonly accessor: string;
}

/** A datacenter that has a certificate of the primary: its name is taken until that has expired. */
export interface MemberRow {
  readonly datacenter: string;
  readonly notAfter: number;
}

export interface TransportTables {
  readonly authority: Table<AuthorityRow>;
  readonly secrets: Table<SecretRow>;
  readonly invitations: Table<InvitationRow>;
  readonly members: Table<MemberRow>;
}

export const ONLY = 'only';
export const SECRETS_TABLE = 'transport-secrets';
export const INVITATIONS_TOPIC = 'transport-invitations';

export function declareTables(store: Pick<Store, 'table'>): TransportTables {
  return {
    authority: store.table<AuthorityRow>({ name: 'transport-authority', key: () => ONLY }),
    secrets: store.table<SecretRow>({ name: SECRETS_TABLE, key: (row) => joinKey(row.id) }),
    invitations: store.table<InvitationRow>({ name: INVITATIONS_TOPIC, key: (row) => row.hash }),
    members: store.table<MemberRow>({ name: 'transport-members', key: (row) => joinKey(row.datacenter) }),
  };
}
