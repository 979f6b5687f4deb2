import { IsthmusError } from '../../lib/errors.ts';
import type { ReadName } from './reads.ts';
import type { WriteName } from './writes.ts';

/** What a call can't be answered without, as it comes from another process. What else there is, the domains look at. */
type Required = Readonly<Record<string, 'text' | 'texts' | 'object'>>;

const PAIR: Required = { source: 'text', destination: 'text' };
const ID: Required = { id: 'text' };
const NODE: Required = { node: 'text' };
const SERVICE: Required = { service: 'text' };
const QUERY: Required = { query: 'text' };
const NAMED: Required = { kind: 'text', name: 'text' };

const READS: Readonly<Partial<Record<ReadName, Required>>> = {
  'catalog.service': SERVICE,
  'catalog.node': NODE,
  'catalog.nodeServices': NODE,
  'catalog.byAddress': { address: 'text' },
  'health.node': NODE,
  'health.checks': SERVICE,
  'health.service': SERVICE,
  'health.state': { state: 'text' },
  'config.get': NAMED,
  'config.list': { kind: 'text' },
  'intentions.get': ID,
  'intentions.exact': PAIR,
  'intentions.match': { by: 'text', names: 'texts' },
  'intentions.check': PAIR,
  'intentions.explain': PAIR,
  'intentions.verdicts': { destination: 'text' },
  'replication.applied': { kind: 'text' },
  'coordinate.node': NODE,
  'discoveryChain.get': SERVICE,
  'queries.get': ID,
  'queries.explain': QUERY,
  'queries.execute': QUERY,
  'queries.forecast': QUERY,
  'queries.candidates': SERVICE,
  'acl.token': { accessor: 'text' },
  'acl.missingForReplication': { kinds: 'texts' },
};

const WRITES: Readonly<Partial<Record<WriteName, Required>>> = {
  'config.delete': NAMED,
  'intentions.create': { intention: 'object' },
  'intentions.update': { id: 'text', intention: 'object' },
  'intentions.upsertExact': { ...PAIR, intention: 'object' },
  'intentions.delete': ID,
  'intentions.deleteExact': PAIR,
  'queries.create': { query: 'object' },
  'queries.update': { id: 'text', query: 'object' },
  'queries.delete': ID,
  'ca.signLeaf': { csr: 'text' },
  'ca.signIntermediate': { csr: 'text', datacenter: 'text' },
  'replication.acceptSource': { kind: 'text' },
  'transport.revokeInvitation': ID,
  'nodes.forceLeave': NODE,
  'acl.setPolicy': { policy: 'object' },
  'acl.deletePolicy': ID,
  'acl.setRole': { role: 'object' },
  'acl.deleteRole': ID,
  'acl.createToken': { token: 'object' },
  'acl.updateToken': { token: 'object' },
  'acl.cloneToken': { accessor: 'text' },
  'acl.deleteToken': { accessor: 'text' },
};

/** Throws `invalid_argument` when a call from another process lacks what it can't be answered without. */
export function checkArguments(kind: 'read' | 'write', name: string, args: unknown): void {
  if (!isObject(args)) throw wrong(name, 'takes an object');
  const table: Readonly<Record<string, Required>> = kind === 'read' ? READS : WRITES;
  if (!Object.hasOwn(table, name)) return;
  for (const [field, type] of Object.entries(table[name] as Required))
    if (!FITS[type](args[field])) throw wrong(name, `needs ${field}, ${WHAT[type]}`);
}

const FITS: Readonly<Record<Required[string], (value: unknown) => boolean>> = {
  text: (value) => typeof value === 'string',
  texts: (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
  object: isObject,
};
const WHAT: Readonly<Record<Required[string], string>> = {
  text: 'a text',
  texts: 'a list of texts',
  object: 'an object',
};

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrong(name: string, text: string): IsthmusError {
  return new IsthmusError('invalid_argument', `${name} ${text}`);
}
