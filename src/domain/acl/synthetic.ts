import type { NodeIdentity, ServiceIdentity } from '../../model/acl.ts';
import type { Rule } from './rules.ts';

const READ_CATALOG: readonly Rule[] = [
  { resource: 'service', name: '', prefix: true, level: 'read' },
  { resource: 'intention', name: '', prefix: true, level: 'read' },
];
const READ_NODES: Rule = { resource: 'node', name: '', prefix: true, level: 'read' };

/** What a service and its sidecar need: to register themselves and to discover the others. */
export function serviceIdentityRules({ ServiceName }: ServiceIdentity): readonly Rule[] {
  const own = [ServiceName, `${ServiceName}-sidecar-proxy`].flatMap((name): Rule[] => [
    { resource: 'service', name, prefix: false, level: 'write' },
    { resource: 'intention', name, prefix: false, level: 'read' },
  ]);
  return [...own, ...READ_CATALOG, READ_NODES];
}

/** What an agent needs for its node. */
export function nodeIdentityRules({ NodeName }: NodeIdentity): readonly Rule[] {
  return [{ resource: 'node', name: NodeName, prefix: false, level: 'write' }, ...READ_CATALOG];
}

/** Beside the right to replicate itself: what a secondary reads of the primary. */
export const REPLICATION_RULES: readonly Rule[] = [...READ_CATALOG, READ_NODES];
