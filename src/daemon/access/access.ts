import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { CompileRules } from '../../agent/access/carried-rights.ts';
import type { RuntimeConfig } from '../../config/types.ts';
import type { Acl, AclDeps, AclOptions } from '../../domain/acl/acl.ts';
import { CompiledRights } from '../../domain/acl/compiled-rights.ts';
import type { PrimaryTokens, TokenResolver } from '../../domain/acl/token-resolver.ts';
import { aclDisabled } from '../../domain/acl/writes.ts';
import type { WaitApplied } from '../../federation/replication/applied-here.ts';
import type { Replicator } from '../../federation/replication/replicator.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { linkSignals, throwIfAborted } from '../../lib/signals.ts';
import { type AclReplicationStatus, REPLICATION_ROLE } from '../../model/acl.ts';
import { ACL_POLICIES, ACL_ROLES, ACL_TOKENS, type KindReplication } from '../../model/replication.ts';
import type { Caller, Grants, Rights } from '../../model/rights.ts';
import { parseCsr } from '../../pki/csr.ts';
import type { ChangeSource } from '../../rpc/contract/changes.ts';
import type { CallOptions, ServerContract } from '../../rpc/contract/contract.ts';
import type { StoredFacts } from '../../rpc/contract/methods/method.ts';
import type { ReadDefinitions } from '../../server/definitions.ts';
import { missingRights } from '../../server/replication-rights.ts';
import type { Read } from '../../store/read.ts';
import type { AgentTokens } from './agent-tokens.ts';

/** What the configuration says about access control, as the domain takes it. */
export function aclOptions({ acl }: RuntimeConfig, tokens: AgentTokens): AclOptions {
  return {
    enabled: acl.enabled,
    defaultPolicy: acl.defaultPolicy,
    downPolicy: acl.downPolicy,
    ttlMs: acl.tokenTtlMs,
    agentMaster: () => tokens.get('agent_master'),
    initialManagement: acl.tokens.master,
  };
}

/** The file by which an operator allows bootstrapping once more. */
export function resetFile(dataDir: string): AclDeps['resetFile'] {
  const path = dataDir === '' ? undefined : join(dataDir, 'acl-bootstrap-reset');
  return {
    read() {
      if (path === undefined) return undefined;
      try {
        return readFileSync(path, 'utf8');
      } catch {
        return undefined; // as good as not there
      }
    },
    remove() {
      if (path !== undefined) rmSync(path, { force: true });
    },
  };
}

/** The primary's word on tokens, over the link to it. */
export function primaryTokens(primary: ServerContract, waitApplied: WaitApplied): PrimaryTokens {
  return {
    async self(secret, signal) {
      const { value, index } = await primary.read('acl.tokenSelf', {}, { signal, token: secret });
      return { token: value, revision: index };
    },
    async linksArrived(revision, signal) {
      const arrived = [ACL_POLICIES, ACL_ROLES].map((kind) => waitApplied(kind, revision, signal));
      await Promise.allSettled(arrived); // what is late is decided by what is here
    },
  };
}

type AclReadNames = Extract<keyof ReadDefinitions, `acl.${string}`>;

const NOTHING_MISSING: Read<unknown, { readonly Problem: string }> = {
  topics: () => [],
  produce: () => ({ Problem: '' }),
};

function disabled(): never {
  throw aclDisabled();
}

/** How reads about access control are answered. */
export function aclReads(acl: Acl, config: RuntimeConfig, replicator: Replicator): Pick<ReadDefinitions, AclReadNames> {
  const reads: Pick<ReadDefinitions, AclReadNames> = {
    ...acl.reads,
    // With access control on, the guard answers these about the caller.
    'acl.tokenSelf': { topics: () => [], produce: disabled },
    // With access control on, the guard answers it; with it off, nothing is missing.
    'acl.missingForReplication': NOTHING_MISSING,
    'acl.grants': { topics: () => [], produce: disabled },
    'acl.replication': {
      topics: () => [],
      produce: () => replicationStatus(config, replicator),
    },
  };
  if (config.acl.enabled) return reads;
  const off: Read<unknown, never> = { topics: () => [], produce: disabled };
  const all = Object.fromEntries(Object.keys(reads).map((name) => [name, off]));
  return { ...all, 'acl.missingForReplication': NOTHING_MISSING } as unknown as Pick<ReadDefinitions, AclReadNames>;
}

/** What is stored, as decisions on writes need it. */
export function storedFacts(reads: ReadDefinitions): StoredFacts {
  const find = <T>(look: () => T): T | undefined => {
    try {
      return look();
    } catch {
      return undefined; // it does not exist, or can't be read
    }
  };
  const node = (name: string) => reads['catalog.nodeServices'].produce({ node: name });
  return {
    node: (name) => node(name)?.Node,
    nodeWithId: (id) =>
      reads['catalog.nodes'].produce({}).find(({ ID }) => ID.toLowerCase() === id.toLowerCase())?.Node,
    services: (name) => node(name)?.Services ?? [],
    checks: (name) => reads['health.node'].produce({ node: name }),
    intentionDestination: (id) => find(() => reads['intentions.get'].produce({ id }).DestinationName),
    queryName: (id) => find(() => reads['queries.get'].produce({ id })[0]?.Name),
    sessionNode: (id) => find(() => reads['sessions.info'].produce({ id })[0]?.Node),
    csrUri: (csr) => find(() => parseCsr(csr).uri),
  };
}

/** Who may follow which table. */
export function guardChanges(source: ChangeSource, callers: TokenResolver): ChangeSource {
  return {
    async *changes(request, signal) {
      const { token = '' } = request;
      const { rights } = await callers.resolve(token, signal);
      const life = linkSignals(signal);
      const check = (now: Rights | undefined): void => {
        const missing = now === undefined ? ['being known'] : missingRights(now, request.kind);
        if (missing.length > 0)
          life.abort(
            new IsthmusError(
              'permission_denied',
              `the replication token lacks ${missing.join(' and ')}, which ${request.kind} take; the role ` +
                `${REPLICATION_ROLE} has all rights`,
            ),
          );
      };
      check(rights);
      const unhook = callers.onChange(() => check(callers.peek(token)?.rights));
      try {
        throwIfAborted(life.signal);
        yield* source.changes(request, life.signal);
      } finally {
        unhook();
        life.release();
      }
    },
  };
}

/** Calls without a token get the one that the agent has for them. */
export function withToken(contract: ServerContract, token: () => string | undefined): ServerContract {
  const filled = <O extends CallOptions>(options: O): O => {
    if (options.token !== undefined && options.token !== '') return options;
    const own = token();
    return own === undefined || own === '' ? options : { ...options, token: own };
  };
  return {
    read: (name, args, options) => contract.read(name, args, filled(options)),
    write: (name, args, options) => contract.write(name, args, filled(options)),
    watch: (name, args, options) => contract.watch(name, args, filled(options)),
  };
}

/** A caller's rights in the form in which they are carried to client agents. */
export function grantsOf({ accessor, rights }: Caller): Grants {
  const compiled = rights instanceof CompiledRights ? rights : undefined;
  return {
    AccessorID: accessor,
    Everything: rights.everything,
    Replication: rights.replication,
    DefaultAllow: compiled?.defaultAllow ?? rights.everything,
    Rules: compiled?.rules ?? [],
  };
}

/** Rights as the domain makes them, for agents that carry them out. */
export const compileRules: CompileRules = (rules, options) => new CompiledRights(rules, options);

/** A token with which a datacenter replicates, made once for each accessor. */
export async function replicationTokenOf(tokens: Acl['tokens'], accessor: string, datacenter: string): Promise<string> {
  try {
    return tokens.reads['acl.token'].produce({ accessor }).SecretID;
  } catch {
    // there is none yet
  }
  const made = await tokens.create({
    AccessorID: accessor,
    Description: `Replication of ${datacenter}, made when it joined by an invitation`,
    Roles: [{ Name: REPLICATION_ROLE }],
  });
  return made.SecretID;
}

const NEVER = '0001-01-01T00:00:00Z';

function replicationStatus(config: RuntimeConfig, replicator: Replicator): AclReplicationStatus {
  const status = replicator.reads['replication.status'].produce({});
  const of = (name: string): KindReplication | undefined =>
    status.Primary ? undefined : status.Kinds.find(({ Kind }) => Kind === name);
  const policies = of(ACL_POLICIES);
  const all = [policies, of(ACL_ROLES), of(ACL_TOKENS)].flatMap((kind) => kind ?? []);
  const seconds = (time: string): string => (time === '' ? NEVER : `${time.slice(0, 19)}Z`);
  return {
    Enabled: policies !== undefined,
    Running: all.some(({ State }) => State === 'following' || State === 'snapshot'),
    SourceDatacenter: policies?.SourceDatacenter ?? '',
    ReplicationType: policies === undefined ? '' : config.acl.enableTokenReplication ? 'tokens' : 'policies',
    ReplicatedIndex: policies?.AppliedRevision ?? 0,
    ReplicatedRoleIndex: of(ACL_ROLES)?.AppliedRevision ?? 0,
    ReplicatedTokenIndex: of(ACL_TOKENS)?.AppliedRevision ?? 0,
    LastSuccess: seconds(
      all
        .map(({ LastSuccess }) => LastSuccess)
        .sort()
        .at(-1) ?? '',
    ),
    LastError: seconds(
      all
        .map(({ LastErrorAt }) => LastErrorAt)
        .sort()
        .at(-1) ?? '',
    ),
  };
}
