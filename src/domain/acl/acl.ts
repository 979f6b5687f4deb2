import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import type { Service } from '../../lib/service.ts';
import { type AclBootstrap, type AclToken, ANONYMOUS_ID, GLOBAL_MANAGEMENT_ID } from '../../model/acl.ts';
import type { Leadership } from '../../store/leadership.ts';
import type { Store } from '../../store/store.ts';
import type { Logger } from '../../telemetry/types.ts';
import { BUILTIN_POLICIES, createPolicies, type Policies } from './policies.ts';
import { createRoles, type Roles } from './roles.ts';
import { type AclTables, declareTables, tokenBySecret } from './tables.ts';
import { type DownPolicy, type PrimaryTokens, TokenResolver } from './token-resolver.ts';
import { anonymousToken, createTokens, hashed, type Tokens, TokenTimes } from './tokens.ts';
import { type AclWrites, createAclWrites } from './writes.ts';

export interface AclDeps {
  readonly store: Store;
  /** One server of the datacenter deletes what has expired. */
  readonly leadership: Pick<Leadership, 'fenced' | 'duty'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly datacenter: string;
  readonly primaryDatacenter: string;
  readonly node: string;
  /** Absent in the primary. */
  readonly primary?: PrimaryTokens;
  /** The file by which an operator allows another bootstrap; it holds the reset index. */
  readonly resetFile: { read(): string | undefined; remove(): void };
}

export interface AclOptions {
  readonly enabled: boolean;
  readonly defaultPolicy: 'allow' | 'deny';
  readonly downPolicy: DownPolicy;
  readonly ttlMs: number;
  readonly agentMaster: () => string;
  /** Secret of a token that may do everything, made in the primary when it starts; '' makes none. */
  readonly initialManagement: string;
}

export interface Acl {
  readonly tables: AclTables;
  readonly reads: Policies['reads'] & Roles['reads'] & Tokens['reads'];
  readonly writes: AclWrites;
  readonly policies: Policies;
  readonly roles: Roles;
  readonly tokens: Tokens;
  readonly tokenResolver: TokenResolver;
  /** Writes what every store holds; then deletes expired tokens from time to time. Start it after the store. */
  readonly service: Service;
  bootstrap(): Promise<AclBootstrap>;
  /** True when a token belongs to this datacenter alone. */
  isLocal(accessor: string): boolean;
}

/** Between two looks for expired tokens, milliseconds. */
const REAP_MS = 30_000;

/** Tokens, policies and roles, and what they come to. */
export function createAcl(deps: AclDeps, options: AclOptions): Acl {
  const { store, clock, log, leadership } = deps;
  const tables = declareTables(store);
  const isPrimary = deps.datacenter === deps.primaryDatacenter;
  const times = new TokenTimes(clock);
  const policies = createPolicies(store, tables);
  const roles = createRoles(store, tables);
  const tokens = createTokens({ store, fenced: leadership.fenced, tables, clock, times });
  const { datacenter, node, primary } = deps;
  const tokenResolver = new TokenResolver({
    store,
    tables,
    clock,
    datacenter,
    node,
    ...options,
    ...(primary === undefined ? {} : { primary }),
  });

  const management = (secret: string, description: string) =>
    hashed({
      AccessorID: newUuid(),
      SecretID: secret,
      Description: description,
      Policies: [{ ID: GLOBAL_MANAGEMENT_ID }],
      Local: false,
      CreateTime: times.now(),
    });

  const writeBuiltins = async (): Promise<void> => {
    const anonymous = anonymousToken(times.now());
    const master = options.initialManagement === '' ? undefined : management(options.initialManagement, 'Master Token');
    await store.transact((tx) => {
      for (const policy of BUILTIN_POLICIES)
        if (tx.get(tables.builtinPolicies, policy.ID) === undefined) tx.put(tables.builtinPolicies, policy);
      if (tx.get(tables.localTokens, ANONYMOUS_ID) === undefined) tx.put(tables.localTokens, anonymous);
    });
    if (!isPrimary || master === undefined) return;
    await store.transact((tx) => {
      // What was read here may not change meanwhile: of several servers that start at once one makes the token.
      tx.get(tables.state, 'initial-management');
      const bootstrap = tx.get(tables.state, 'bootstrap');
      if (tokenBySecret(tables, options.initialManagement) !== undefined) return;
      tx.put(tables.tokens, master);
      const { AccessorID: accessor } = master;
      tx.put(tables.state, { key: 'initial-management', accessor });
      if (bootstrap === undefined) tx.put(tables.state, { key: 'bootstrap', accessor });
    });
  };

  let endDuty = async (): Promise<void> => undefined;

  const bootstrap = async (): Promise<AclBootstrap> => {
    const token = management(newUuid(), 'Bootstrap Token (Global Management)');
    const allowed = Number(deps.resetFile.read()?.trim() || Number.NaN);
    await store.transact((tx) => {
      const done = tx.row(tables.state, 'bootstrap');
      if (done !== undefined && done.modRevision !== allowed)
        throw new IsthmusError(
          'permission_denied',
          `Permission denied: ACL bootstrap no longer allowed (reset index: ${done.modRevision})`,
        );
      tx.put(tables.tokens, token);
      tx.put(tables.state, { key: 'bootstrap', accessor: token.AccessorID });
    });
    deps.resetFile.remove();
    const shown = tokens.bySecret(token.SecretID) as AclToken;
    return { ID: shown.SecretID, ...shown };
  };

  return {
    tables,
    reads: { ...policies.reads, ...roles.reads, ...tokens.reads },
    writes: createAclWrites({
      enabled: options.enabled,
      policies,
      roles,
      tokens,
      bootstrap,
      accessorOf: (token) => tokenResolver.peek(token)?.accessor,
    }),
    bootstrap,
    policies,
    roles,
    tokens,
    tokenResolver,
    service: {
      name: 'access control',
      async start() {
        if (!options.enabled) return;
        await writeBuiltins();
        const own = isPrimary ? [tables.tokens, tables.localTokens] : [tables.localTokens];
        endDuty = leadership.duty('expired tokens', (tasks) =>
          tasks.loop('deleting expired tokens', { pauseMs: REAP_MS }, async () => {
            const count = await tokens.reap(own);
            if (count > 0) log.info('expired tokens deleted', { count });
          }),
        );
      },
      stop: () => endDuty(),
    },
    isLocal: (accessor) => tables.localTokens.get(accessor) !== undefined,
  };
}
