import type { Clock } from '../../lib/clock.ts';
import { hasCode } from '../../lib/errors.ts';
import { withDeadline } from '../../lib/signals.ts';
import {
  type AclGrants,
  type AclToken,
  ANONYMOUS_ID,
  GLOBAL_MANAGEMENT_ID,
  REPLICATION_ROLE_ID,
} from '../../model/acl.ts';
import { ALL_RIGHTS, type Caller, NO_RIGHTS, type Rights } from '../../model/rights.ts';
import { isTemplate, renderTemplate, type TemplatedPolicy } from '../../model/templated-policies.ts';
import type { AppliedCommit, Store } from '../../store/store.ts';
import { CompiledRights } from './compiled-rights.ts';
import { aclNotFound } from './links.ts';
import { parseRules, type Rule } from './rules.ts';
import { nodeIdentityRules, REPLICATION_RULES, serviceIdentityRules } from './synthetic.ts';
import { type AclTables, policyRow, type StoredPolicy, type StoredToken, tokenBySecret } from './tables.ts';
import { isExpired } from './tokens.ts';

/** Who asks, and what that one may do. */
export interface Resolved extends Caller {
  /**
   * The token itself, when this datacenter's tables do not hold it, and how long ago the primary said so, milliseconds.
   */
  readonly token?: AclToken;
  readonly ageMs?: number;
}

export type DownPolicy = 'allow' | 'deny' | 'extend-cache' | 'async-cache';

/** The primary, as the place where a token is known that is not known here. */
export interface PrimaryTokens {
  /**
   * Throws `permission_denied` when there is no such token. `revision` is the primary's: all that the token links to is
   * older.
   */
  self(secret: string, signal: AbortSignal): Promise<{ readonly token: AclToken; readonly revision: number }>;
  /** Resolves once the policies and roles of that revision are here, or after a while. */
  linksArrived(revision: number, signal: AbortSignal): Promise<void>;
}

export interface TokenResolverDeps {
  readonly store: Pick<Store, 'onCommit'>;
  readonly tables: AclTables;
  readonly clock: Clock;
  readonly datacenter: string;
  /** This agent's node: what the agent's own token is for. */
  readonly node: string;
  readonly defaultPolicy: 'allow' | 'deny';
  readonly downPolicy: DownPolicy;
  /** How long an answer of the primary is taken for true, milliseconds. */
  readonly ttlMs: number;
  /** Secret that this agent accepts even while no server can be reached; '' is none. */
  readonly agentMaster: () => string;
  /** Absent in the primary. */
  readonly primary?: PrimaryTokens;
}

interface Known {
  readonly resolved: Resolved;
  /** Milliseconds; absent never. */
  readonly expires?: number;
}

interface Fetched {
  readonly token: AclToken;
  readonly at: number;
}

/** Longest wait for the primary's word on a token, milliseconds. */
const ASK_MS = 3_000;
/** Compiled rights kept, and tokens of the primary kept. */
const MAX_COMPILED = 4_096;
const MAX_FETCHED = 16_384;

/**
 * Turns secrets into rights. What is known is kept until one of the tables changes it. A secret that is not known here
 * is asked for in the primary every time: that a token does not exist is never kept, so a new one works at once
 * everywhere.
 */
export class TokenResolver {
  readonly #deps: TokenResolverDeps;
  readonly #known = new Map<string, Known>();
  /** Rights by what they are made of: tokens with the same grants share them. */
  readonly #compiled = new Map<string, Rights>();
  readonly #rules = new WeakMap<StoredPolicy, readonly Rule[]>();
  readonly #fetched = new Map<string, Fetched>();
  readonly #asking = new Map<string, Promise<Resolved>>();
  readonly #listeners = new Set<() => void>();

  constructor(deps: TokenResolverDeps) {
    this.#deps = deps;
    deps.store.onCommit((commit) => this.#onCommit(commit));
  }

  /** Calls `listener` whenever the rights of a token may have changed; returns the function that ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** AccessorID of a token that is known here, also while its primary is away; for records, not for decisions. */
  accessorOf(secret: string): string | undefined {
    return this.peek(secret)?.accessor ?? this.#fetched.get(secret)?.token.AccessorID;
  }

  /** What is known here of the secret; '' is a request without one. */
  peek(secret: string): Resolved | undefined {
    const known = this.#known.get(secret);
    if (known !== undefined && (known.expires === undefined || known.expires > this.#deps.clock.now()))
      return known.resolved;
    return this.#look(secret);
  }

  /** Throws `permission_denied` with Consul's text when there is no such token. */
  async resolve(secret: string, signal: AbortSignal): Promise<Resolved> {
    const known = this.peek(secret);
    if (known !== undefined) return known;
    const { primary, clock, ttlMs, downPolicy } = this.#deps;
    if (primary === undefined) throw aclNotFound();
    const kept = this.#fetched.get(secret);
    if (kept !== undefined && !isExpired(kept.token, clock.now())) {
      const fresh = clock.steady() - kept.at < ttlMs;
      // the next one sees it
      if (!fresh && downPolicy === 'async-cache') void this.#ask(primary, secret).catch(() => undefined);
      if (fresh || downPolicy === 'async-cache') return this.#kept(kept);
    }
    signal.throwIfAborted();
    return this.#ask(primary, secret);
  }

  #look(secret: string): Resolved | undefined {
    const { tables, clock, agentMaster, node } = this.#deps;
    if (secret !== '' && secret === agentMaster()) {
      const own: Rule = { resource: 'agent', name: node, prefix: false, level: 'write' };
      const nodes: Rule = { resource: 'node', name: '', prefix: true, level: 'read' };
      return { accessor: '', rights: this.#compiled.get('agent') ?? this.#compile('agent', [own, nodes], false) };
    }
    const row = secret === '' ? tables.localTokens.get(ANONYMOUS_ID) : tokenBySecret(tables, secret);
    if (row === undefined) return secret === '' ? { accessor: ANONYMOUS_ID, rights: this.#nothing() } : undefined;
    if (isExpired(row.value, clock.now())) {
      this.#known.delete(secret);
      return undefined;
    }
    return this.#keep(secret, this.#resolved(row.value), row.value);
  }

  #keep(secret: string, resolved: Resolved, token?: StoredToken): Resolved {
    const expires = token?.ExpirationTime === undefined ? {} : { expires: Date.parse(token.ExpirationTime) };
    this.#known.set(secret, { resolved, ...expires });
    return resolved;
  }

  #ask(primary: PrimaryTokens, secret: string): Promise<Resolved> {
    let asking = this.#asking.get(secret);
    if (asking === undefined) {
      asking = this.#askPrimary(primary, secret).finally(() => this.#asking.delete(secret));
      this.#asking.set(secret, asking);
    }
    return asking;
  }

  async #askPrimary(primary: PrimaryTokens, secret: string): Promise<Resolved> {
    const { clock, downPolicy } = this.#deps;
    const limit = withDeadline(clock, ASK_MS, 'the primary’s word on a token');
    try {
      const { token, revision } = await primary.self(secret, limit.signal);
      this.#fetched.delete(secret);
      this.#fetched.set(secret, { token, at: clock.steady() });
      if (this.#fetched.size > MAX_FETCHED) this.#fetched.delete(this.#fetched.keys().next().value as string);
      await primary.linksArrived(revision, limit.signal);
      return { ...this.#resolved(token), token };
    } catch (error) {
      if (hasCode(error, 'permission_denied', 'unauthenticated')) {
        this.#fetched.delete(secret);
        throw aclNotFound();
      }
      const kept = this.#fetched.get(secret);
      if (downPolicy === 'allow') return undecided(new CompiledRights([], { defaultAllow: true }));
      if (downPolicy === 'deny' || kept === undefined || isExpired(kept.token, clock.now()))
        return undecided(NO_RIGHTS);
      return this.#kept(kept);
    } finally {
      limit.release();
    }
  }

  #kept({ token, at }: Fetched): Resolved {
    return { ...this.#resolved(token), token, ageMs: this.#deps.clock.steady() - at };
  }

  #resolved(token: AclGrants & { readonly AccessorID: string }): Resolved {
    return { accessor: token.AccessorID, rights: this.#rightsOf(token) };
  }

  /** The rights of everybody who grants the same in this datacenter are one object. */
  #rightsOf(token: AclGrants): Rights {
    const { tables, datacenter } = this.#deps;
    const policies = new Map<string, StoredPolicy>();
    const versions: string[] = [];
    const services = [...(token.ServiceIdentities ?? [])];
    const nodes = [...(token.NodeIdentities ?? [])];
    const templated = [...(token.TemplatedPolicies ?? [])];
    let replication = false;
    const link = (id: string): void => {
      const row = policyRow(tables, id);
      if (row === undefined || policies.has(id) || !isHere(row.value.Datacenters, datacenter)) return;
      policies.set(id, row.value);
      versions.push(`${id}@${row.modRevision}`);
    };
    for (const { ID } of token.Policies ?? []) link(ID);
    for (const { ID } of token.Roles ?? []) {
      if (ID === REPLICATION_ROLE_ID) replication = true;
      const role = tables.roles.get(ID)?.value;
      for (const policy of role?.Policies ?? []) link(policy.ID);
      services.push(...(role?.ServiceIdentities ?? []));
      templated.push(...(role?.TemplatedPolicies ?? []));
      nodes.push(...(role?.NodeIdentities ?? []));
    }
    if (policies.has(GLOBAL_MANAGEMENT_ID)) return ALL_RIGHTS;
    const ownServices = services.filter((identity) => isHere(identity.Datacenters, datacenter));
    const ownNodes = nodes.filter((identity) => identity.Datacenter === datacenter);
    const ownTemplated = templated
      .filter((policy) => isHere(policy.Datacenters, datacenter))
      .flatMap((policy) => renderKnown(policy) ?? []);
    const key = JSON.stringify([
      versions.sort(),
      ownServices.map((identity) => identity.ServiceName),
      ownNodes.map((identity) => identity.NodeName),
      ownTemplated,
      replication,
    ]);
    const known = this.#compiled.get(key);
    if (known !== undefined) return known;
    const rules = [
      ...[...policies.values()].flatMap((policy) => this.#rulesOf(policy)),
      ...ownServices.flatMap(serviceIdentityRules),
      ...ownNodes.flatMap(nodeIdentityRules),
      ...ownTemplated.flatMap((text) => parseRules(text)),
      ...(replication ? REPLICATION_RULES : []),
    ];
    return this.#compile(key, rules, replication);
  }

  #compile(key: string, rules: readonly Rule[], replication: boolean): Rights {
    const rights = new CompiledRights(rules, { defaultAllow: this.#deps.defaultPolicy === 'allow', replication });
    this.#compiled.set(key, rights);
    if (this.#compiled.size > MAX_COMPILED) this.#compiled.delete(this.#compiled.keys().next().value as string);
    return rights;
  }

  #rulesOf(policy: StoredPolicy): readonly Rule[] {
    let rules = this.#rules.get(policy);
    if (rules === undefined) {
      rules = parseRules(policy.Rules, { kept: true });
      this.#rules.set(policy, rules);
    }
    return rules;
  }

  #nothing(): Rights {
    return this.#compiled.get('') ?? this.#compile('', [], false);
  }

  /** Cost follows the change: a token forgets itself, a policy or role all tokens that were resolved. */
  #onCommit({ changes }: AppliedCommit): void {
    const { tokens, localTokens, policies, builtinPolicies, roles } = this.#deps.tables;
    let changed = false;
    for (const change of changes) {
      if (change.table === tokens.spec.name || change.table === localTokens.spec.name) {
        changed = true;
        for (const side of [change.before, change.after]) {
          if (side === undefined) continue;
          const { SecretID, AccessorID } = side.value as StoredToken;
          this.#known.delete(SecretID);
          this.#fetched.delete(SecretID);
          if (AccessorID === ANONYMOUS_ID) this.#known.delete('');
        }
      } else if ([policies, builtinPolicies, roles].some((table) => table.spec.name === change.table)) {
        changed = true;
        this.#known.clear();
      }
    }
    if (changed) for (const listener of [...this.#listeners]) listener();
  }
}

/** A template of a newer primary grants nothing. */
function renderKnown(policy: TemplatedPolicy): string | undefined {
  return isTemplate(policy.TemplateName) ? renderTemplate(policy) : undefined;
}

function undecided(rights: Rights): Resolved {
  return { accessor: '', rights, undecided: true };
}

function isHere(datacenters: readonly string[] | undefined, datacenter: string): boolean {
  return datacenters === undefined || datacenters.length === 0 || datacenters.includes(datacenter);
}
