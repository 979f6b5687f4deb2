import { IsthmusError } from '../lib/errors.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import type { WriteName } from '../rpc/contract/writes.ts';
import type { Audit } from '../telemetry/types.ts';

export interface AuditedDeps {
  readonly audit: Audit;
  readonly accessorOf: (token: string | undefined) => string;
  readonly datacenter: string;
  readonly node: string;
}

/** Reports that servers and agents make by themselves, many a minute, and certificates, which are counted. */
const BY_THEMSELVES: ReadonlySet<WriteName> = new Set(['ca.reportHolder', 'ca.reportDatacenter', 'ca.signLeaf']);

/** The contract as other servers and agents reach it, with every write put on record where it is decided. */
export function audited(contract: ServerContract, deps: AuditedDeps): ServerContract {
  return {
    read: (name, args, options) => contract.read(name, args, options),
    watch: (name, args, options) => contract.watch(name, args, options),
    async write(name, args, options) {
      if (BY_THEMSELVES.has(name)) return contract.write(name, args, options);
      const before = deps.accessorOf(options.token);
      const tell = (status: string, error?: string): void =>
        deps.audit.record({
          kind: 'rpc',
          accessor: before || deps.accessorOf(options.token),
          operation: name,
          endpoint: '',
          target: targetOf(args),
          remote: '',
          datacenter: options.datacenter || deps.datacenter,
          node: deps.node,
          status,
          verdict: status === 'permission_denied' || status === 'unauthenticated' ? 'denied' : 'allowed',
          ...(error === undefined ? {} : { error }),
        });
      try {
        const result = await contract.write(name, args, options);
        tell('ok');
        return result;
      } catch (thrown) {
        const error = IsthmusError.from(thrown);
        tell(error.code, error.message);
        throw thrown;
      }
    },
  };
}

/** Fields that say what a write is about; none of them can be a secret. */
const NAMING: ReadonlySet<string> = new Set([
  'accessor',
  'accessorid',
  'checkid',
  'datacenter',
  'destination',
  'destinationname',
  'id',
  'kind',
  'name',
  'node',
  'serviceid',
  'source',
  'sourcename',
]);
/** Longest value that is put on record. */
const MAX_VALUE = 256;

/** What is named at the top of the arguments, and one level below: `{ entry: { Kind, Name } }`. */
function targetOf(args: unknown): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  const look = (value: unknown, prefix: string, deeper: boolean): void => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    for (const [key, inner] of Object.entries(value)) {
      if (typeof inner === 'string' && inner !== '' && NAMING.has(key.toLowerCase()))
        found[prefix + key] = inner.slice(0, MAX_VALUE);
      else if (deeper) look(inner, `${prefix}${key}.`, false);
    }
  };
  look(args, '', true);
  return found;
}
