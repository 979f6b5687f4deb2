import type { Clock } from '../../lib/clock.ts';
import { formatDuration } from '../../lib/duration.ts';
import { isUuid, newUuid } from '../../lib/ids.ts';
import {
  type AclToken,
  type AclTokenInput,
  type AclTokenListArgs,
  type AclTokenListed,
  ANONYMOUS_ID,
  ANONYMOUS_SECRET,
} from '../../model/acl.ts';
import { SERVICE_TEMPLATE } from '../../model/templated-policies.ts';
import type { Read } from '../../store/read.ts';
import type { Store } from '../../store/store.ts';
import type { Stored, Table } from '../../store/table.ts';
import { aclNotFound, hashOf, rejected, shownGrants, storedGrants } from './links.ts';
import {
  type AclTables,
  alone,
  findToken,
  POLICIES_TOPIC,
  ROLES_TOPIC,
  type StoredToken,
  secretsKey,
  TOKENS_TOPIC,
  tokenBySecret,
  tokenRow,
} from './tables.ts';

export interface Tokens {
  readonly reads: {
    readonly 'acl.tokens': Read<AclTokenListArgs, readonly AclTokenListed[]>;
    readonly 'acl.token': Read<{ readonly accessor: string }, AclToken>;
  };
  /** Creates a token, or changes the one with this accessor. */
  create(input: AclTokenInput): Promise<AclToken>;
  update(input: AclTokenInput): Promise<AclToken>;
  clone(accessor: string, description: string | undefined): Promise<AclToken>;
  /** @param self accessor of the token that asks */
  delete(accessor: string, self: string | undefined): Promise<true>;
  /** Deletes what has expired; returns how many. @param own which tables this datacenter may write */
  reap(own: readonly Table<StoredToken>[]): Promise<number>;
  bySecret(secret: string): AclToken | undefined;
}

/** As Consul's configuration has them: shortest and longest life of a token that expires, milliseconds. */
const MIN_TTL_MS = 60_000;
const MAX_TTL_MS = 86_400_000;
const TOPICS = [TOKENS_TOPIC, POLICIES_TOPIC, ROLES_TOPIC];
/** Expired tokens deleted in one commit at most. */
const MAX_REAPED = 256;

export function createTokens(deps: {
  readonly store: Store;
  /** Writes as the datacenter's leader. */
  readonly fenced: Pick<Store, 'transact'>;
  readonly tables: AclTables;
  readonly clock: Clock;
  readonly times: TokenTimes;
}): Tokens {
  const { store, fenced, tables, clock, times } = deps;

  const shown = (row: Stored<StoredToken>): AclToken => {
    const { AccessorID, SecretID, Description, Local, ExpirationTime, CreateTime, Hash } = row.value;
    return {
      AccessorID,
      SecretID,
      Description,
      ...shownGrants(tables, row.value),
      Local,
      ...(ExpirationTime === undefined ? {} : { ExpirationTime }),
      CreateTime,
      Hash,
      CreateIndex: row.createRevision,
      ModifyIndex: row.modRevision,
    };
  };
  const live = (row: Stored<StoredToken> | undefined): Stored<StoredToken> | undefined =>
    row === undefined || isExpired(row.value, clock.now()) ? undefined : row;

  const create = async (input: AclTokenInput): Promise<AclToken> => {
    const { AccessorID = '', SecretID = '', Description = '', Local = false } = input;
    if (AccessorID !== '' && !isUuid(AccessorID)) throw rejected('Invalid Token: AccessorID is not a valid UUID');
    if (SecretID !== '' && !isUuid(SecretID)) throw rejected('Invalid Token: SecretID is not a valid UUID');
    for (const id of [AccessorID, SecretID])
      if (id.startsWith('00000000-0000-0000-0000-0000000000'))
        throw rejected('UUIDs with the prefix "00000000-0000-0000-0000-0000000000" are reserved');
    const accessor = AccessorID === '' ? newUuid() : AccessorID;
    const secret = SecretID === '' ? newUuid() : SecretID;
    const life = times.lifetime(input);
    await store.transact((tx) => {
      if (findToken(tx, tables, accessor) !== undefined) throw rejected('Invalid Token: AccessorID is already in use');
      if (SecretID !== '') alone(tx, tables, secretsKey(SecretID));
      if (tokenBySecret(tables, secret) !== undefined) throw rejected('Invalid Token: SecretID is already in use');
      const token = {
        AccessorID: accessor,
        SecretID: secret,
        Description,
        ...storedGrants(tables, input, 'token'),
        Local,
        ...life,
      };
      tx.put(Local ? tables.localTokens : tables.tokens, hashed(token));
    });
    return shown(tokenRow(tables, accessor) as Stored<StoredToken>);
  };

  return {
    reads: {
      'acl.tokens': {
        topics: () => TOPICS,
        produce: ({ policy, role, serviceName }) =>
          [...tables.tokens.list(), ...tables.localTokens.list()]
            .filter((row) => live(row) !== undefined)
            .filter((row) => policy === undefined || row.value.Policies?.some((link) => link.ID === policy))
            .filter((row) => role === undefined || row.value.Roles?.some((link) => link.ID === role))
            .filter((row) => serviceName === undefined || namesService(row.value, serviceName))
            .sort((a, b) => (a.value.SecretID < b.value.SecretID ? -1 : 1))
            .map((row) => {
              const { SecretID: _secret, ...rest } = shown(row);
              return rest;
            }),
      },
      'acl.token': {
        topics: () => TOPICS,
        produce({ accessor }) {
          const row = live(tokenRow(tables, accessor));
          if (row === undefined) throw aclNotFound();
          return shown(row);
        },
      },
    },

    create,

    async update(input) {
      const { AccessorID = '', Description = '' } = input;
      if (!isUuid(AccessorID)) throw rejected('Invalid Token: AccessorID is not a valid UUID');
      await store.transact((tx) => {
        const found = findToken(tx, tables, AccessorID);
        if (found === undefined || isExpired(found.token, clock.now()))
          throw rejected(`Cannot find token "${AccessorID}"`);
        const { token, table } = found;
        if (input.SecretID !== undefined && input.SecretID !== '' && input.SecretID !== token.SecretID)
          throw rejected('Changing a tokens SecretID is not permitted');
        if (input.Local !== undefined && input.Local !== token.Local && AccessorID !== ANONYMOUS_ID)
          throw rejected(`cannot toggle local mode of ${AccessorID}`);
        if (input.ExpirationTTL !== undefined && input.ExpirationTTL !== 0)
          throw rejected(`Cannot change expiration time of ${AccessorID}`);
        if (
          input.ExpirationTime !== undefined &&
          Date.parse(input.ExpirationTime) !== Date.parse(token.ExpirationTime ?? '')
        )
          throw rejected(`Cannot change expiration time of ${AccessorID}`);
        const { SecretID, Local, CreateTime, ExpirationTime } = token;
        tx.put(
          table,
          hashed({
            AccessorID,
            SecretID,
            Description,
            ...storedGrants(tables, { ...input, Local }, 'token'),
            Local,
            ...(ExpirationTime === undefined ? {} : { ExpirationTime }),
            CreateTime,
          }),
        );
      });
      return shown(tokenRow(tables, AccessorID) as Stored<StoredToken>);
    },

    async clone(accessor, description) {
      const row = live(tokenRow(tables, accessor));
      if (row === undefined) throw aclNotFound();
      const { AccessorID: _accessor, SecretID: _secret, ...content } = row.value;
      return create({
        ...content,
        ...(description === undefined || description === '' ? {} : { Description: description }),
      });
    },

    async delete(accessor, self) {
      if (!isUuid(accessor)) throw rejected('Accessor ID is missing or an invalid UUID');
      if (accessor === ANONYMOUS_ID) throw rejected('Delete operation not permitted on the anonymous token');
      if (accessor === self) throw rejected("Deletion of the request's authorization token is not permitted");
      await store.transact((tx) => {
        const found = findToken(tx, tables, accessor);
        if (found !== undefined) tx.delete(found.table, accessor);
      });
      return true;
    },

    async reap(own) {
      const now = clock.now();
      const expired = own
        .flatMap((table) => table.list().map((row) => ({ table, row })))
        .filter(({ row }) => isExpired(row.value, now))
        .slice(0, MAX_REAPED);
      if (expired.length === 0) return 0;
      await fenced.transact((tx) => {
        for (const { table, row } of expired) {
          const token = tx.get(table, row.key);
          if (token !== undefined && isExpired(token, now)) tx.delete(table, row.key);
        }
      });
      return expired.length;
    },

    bySecret(secret) {
      const row = live(tokenBySecret(tables, secret));
      return row === undefined ? undefined : shown(row);
    },
  };
}

function namesService({ ServiceIdentities = [], TemplatedPolicies = [] }: StoredToken, name: string): boolean {
  return (
    ServiceIdentities.some(({ ServiceName }) => ServiceName === name) ||
    TemplatedPolicies.some(
      ({ TemplateName, TemplateVariables }) => TemplateName === SERVICE_TEMPLATE && TemplateVariables?.Name === name,
    )
  );
}

export function isExpired(token: Pick<StoredToken, 'ExpirationTime'>, now: number): boolean {
  return token.ExpirationTime !== undefined && Date.parse(token.ExpirationTime) <= now;
}

/** The token of requests without one, as every store holds it from its start. */
export function anonymousToken(createTime: string): StoredToken {
  return hashed({
    AccessorID: ANONYMOUS_ID,
    SecretID: ANONYMOUS_SECRET,
    Description: 'Anonymous Token',
    Local: false,
    CreateTime: createTime,
  });
}

export function hashed(token: Omit<StoredToken, 'Hash'>): StoredToken {
  const { CreateTime: _time, ...content } = token;
  return { ...token, Hash: hashOf(content) };
}

/**
 * Times of creation: nine digits below the second, as Consul writes them; the last six tell tokens of one millisecond
 * apart.
 */
export class TokenTimes {
  readonly #clock: Clock;
  #sequence = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): string {
    this.#sequence = (this.#sequence + 1) % 1_000_000;
    return this.#exact(this.#clock.now());
  }

  lifetime({ ExpirationTTL = 0, ExpirationTime }: AclTokenInput): {
    readonly CreateTime: string;
    readonly ExpirationTime?: string;
  } {
    const now = this.#clock.now();
    const created = this.now();
    if (ExpirationTTL < 0) throw rejected(`Token Expiration TTL '${formatDuration(ExpirationTTL)}' should be > 0`);
    if (ExpirationTTL > 0 && ExpirationTime !== undefined)
      throw rejected('Token Expiration TTL and Expiration Time cannot both be set');
    if (ExpirationTTL === 0 && ExpirationTime === undefined) return { CreateTime: created };
    const end = ExpirationTTL > 0 ? now + ExpirationTTL : Date.parse(ExpirationTime ?? '');
    if (Number.isNaN(end)) throw rejected('ExpirationTime is not a time');
    if (end <= now) throw rejected('ExpirationTime cannot be before CreateTime');
    const was = `in the future (was ${formatDuration(end - now)})`;
    if (end - now > MAX_TTL_MS)
      throw rejected(`ExpirationTime cannot be more than ${formatDuration(MAX_TTL_MS)} ${was}`);
    if (end - now < MIN_TTL_MS)
      throw rejected(`ExpirationTime cannot be less than ${formatDuration(MIN_TTL_MS)} ${was}`);
    return { CreateTime: created, ExpirationTime: this.#exact(end) };
  }

  #exact(ms: number): string {
    return new Date(ms).toISOString().replace('Z', `${String(this.#sequence).padStart(6, '0')}Z`);
  }
}
