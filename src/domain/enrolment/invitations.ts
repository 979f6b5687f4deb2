import { randomBytes } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';
import { formatDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import type { InvitationKind, ListedInvitation } from '../../model/transport.ts';
import type { Read } from '../../store/read.ts';
import type { Store, Tx } from '../../store/store.ts';
import { hashOfSecret } from './invitation-text.ts';
import { INVITATIONS_TOPIC, type InvitationRow, type InvitationUse, type TransportTables } from './tables.ts';

export interface NewInvitation {
  readonly kind: InvitationKind;
  /** '' any. */
  readonly datacenter: string;
  /** Milliseconds. */
  readonly ttlMs: number;
}

/** Who uses an invitation. */
export interface Joiner {
  readonly datacenter: string;
  readonly node: string;
  /** SHA-256 of the public key that a certificate is asked for, hexadecimal. */
  readonly keyHash: string;
}

/** Why a datacenter of that name may not join; undefined when it may, and its name is taken then. */
export type Admit = (tx: Tx, joining: string, invited: InvitationRow) => string | undefined;

export const DEFAULT_TTL_MS = 24 * 3_600_000;
const MIN_TTL_MS = 1_000;
const MAX_TTL_MS = 30 * 86_400_000;
/** Open, used and expired ones together. */
const MAX_INVITATIONS = 1_000;
/** Used and expired ones are listed for so long, milliseconds. */
const KEPT_MS = 30 * 86_400_000;

/** Invitations: only hashes of their secrets are kept, and each is used once. */
export class Invitations {
  readonly #store: Store;
  readonly #tables: TransportTables;
  readonly #clock: Clock;
  readonly #admit: Admit;
  readonly writes = { 'transport.revokeInvitation': ({ id }: { readonly id: string }) => this.revoke(id) };
  readonly reads: { readonly 'transport.invitations': Read<Record<never, never>, readonly ListedInvitation[]> };

  constructor(store: Store, tables: TransportTables, clock: Clock, admit: Admit) {
    this.#store = store;
    this.#tables = tables;
    this.#clock = clock;
    this.#admit = admit;
    this.reads = { 'transport.invitations': { topics: () => [INVITATIONS_TOPIC], produce: () => this.#list() } };
  }

  async create({ kind, datacenter, ttlMs }: NewInvitation): Promise<{ readonly row: InvitationRow; secret: string }> {
    if (!(ttlMs >= MIN_TTL_MS && ttlMs <= MAX_TTL_MS))
      throw new IsthmusError(
        'invalid_argument',
        `an invitation is good for ${formatDuration(MIN_TTL_MS)} to ${formatDuration(MAX_TTL_MS)}, not for ` +
          `${formatDuration(ttlMs)}`,
      );
    const secret = randomBytes(32).toString('base64url');
    const now = this.#clock.now();
    const row = { id: newUuid(), hash: hashOfSecret(secret), kind, datacenter, createdAt: now, expiresAt: now + ttlMs };
    await this.#store.transact((tx) => {
      const rows = this.#tables.invitations.list();
      const past = rows.filter(({ value }) => Math.max(value.expiresAt, value.used?.at ?? 0) + KEPT_MS < now);
      if (rows.length - past.length >= MAX_INVITATIONS)
        throw new IsthmusError('rejected', `there are ${MAX_INVITATIONS} invitations: revoke some first`);
      for (const old of past) tx.delete(this.#tables.invitations, old.key);
      tx.put(this.#tables.invitations, row);
    });
    return { row, secret };
  }

  /** Forgets it: no one can use it any more. Certificates that came with it stay good until they expire. */
  async revoke(id: string): Promise<null> {
    const found = this.#tables.invitations.list().find(({ value }) => value.id === id);
    if (found === undefined) throw new IsthmusError('not_found', `there is no invitation ${id}`);
    await this.#store.transact((tx) => tx.delete(this.#tables.invitations, found.key));
    return null;
  }

  /** Marks it as used by this joiner; throws `permission_denied` when it is not its to use. */
  async use(secret: string, joiner: Joiner): Promise<{ readonly row: InvitationRow; readonly use: InvitationUse }> {
    const hash = hashOfSecret(secret);
    const now = this.#clock.now();
    const { result } = await this.#store.transact((tx) => {
      const row = tx.get(this.#tables.invitations, hash);
      if (row === undefined)
        throw denied('this invitation is not known here: it was revoked, or another datacenter made it');
      const { used } = row;
      if (used !== undefined && used.keyHash !== joiner.keyHash)
        throw denied(
          `this invitation was used by ${used.node}.${used.datacenter} at ${isoTime(used.at)}: make another one`,
        );
      if (now > row.expiresAt) throw denied(`this invitation expired at ${isoTime(row.expiresAt)}: make another one`);
      if (used !== undefined) return { row, use: used };
      const refusal = this.#admit(tx, joiner.datacenter, row);
      if (refusal !== undefined) throw denied(refusal);
      const use = { at: now, ...joiner, accessor: newUuid() };
      tx.put(this.#tables.invitations, { ...row, used: use });
      return { row, use };
    });
    return result;
  }

  #list(): ListedInvitation[] {
    const now = this.#clock.now();
    return this.#tables.invitations
      .list()
      .map(({ value }) => value)
      .sort((a, b) => a.createdAt - b.createdAt)
      .map(({ id, kind, datacenter, createdAt, expiresAt, used }) => ({
        ID: id,
        Kind: kind,
        JoiningDatacenter: datacenter,
        State: used !== undefined ? 'used' : now > expiresAt ? 'expired' : 'open',
        CreatedAt: isoTime(createdAt),
        ExpiresAt: isoTime(expiresAt),
        UsedAt: used === undefined ? '' : isoTime(used.at),
        UsedBy: used === undefined ? '' : `${used.node}.${used.datacenter}`,
      }));
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function denied(text: string): IsthmusError {
  return new IsthmusError('permission_denied', text);
}
