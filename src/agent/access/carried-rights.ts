import { ALL_RIGHTS, type GrantRule, type Grants, type Rights } from '../../model/rights.ts';

/** Makes rights of rules, as the servers do. */
export type CompileRules = (
  rules: readonly GrantRule[],
  options: { readonly defaultAllow: boolean; readonly replication?: boolean },
) => Rights;

/** The rights that a server sent. */
export function carriedRights(compile: CompileRules, { Everything, Replication, DefaultAllow, Rules }: Grants): Rights {
  if (Everything) return ALL_RIGHTS;
  return compile(Rules, { defaultAllow: DefaultAllow, replication: Replication });
}

/** What the agent's recovery token may do: it works while no server can be reached. */
export function recoveryRights(compile: CompileRules, node: string, defaultAllow: boolean): Rights {
  const own: GrantRule = { resource: 'agent', name: node, prefix: false, level: 'write' };
  const nodes: GrantRule = { resource: 'node', name: '', prefix: true, level: 'read' };
  return compile([own, nodes], { defaultAllow });
}
