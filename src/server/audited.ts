import { IsthmusError } from '../lib/errors.ts';
import type { ServerContract } from '../rpc/contract/contract.ts';
import { WRITES } from '../rpc/contract/writes.ts';
import type { Audit } from '../telemetry/types.ts';

export interface AuditedDeps {
  readonly audit: Audit;
  readonly accessorOf: (token: string | undefined) => string;
  readonly datacenter: string;
  readonly node: string;
}

/** The contract as other servers and agents reach it, with every write put on record where it is decided. */
export function audited(contract: ServerContract, deps: AuditedDeps): ServerContract {
  return {
    read: (name, args, options) => contract.read(name, args, options),
    watch: (name, args, options) => contract.watch(name, args, options),
    async write(name, args, options) {
      const { audit } = WRITES[name];
      if (audit === 'never') return contract.write(name, args, options);
      const before = deps.accessorOf(options.token);
      const record = (status: string, error?: string): void =>
        deps.audit.record({
          kind: 'rpc',
          accessor: before || deps.accessorOf(options.token),
          operation: name,
          endpoint: '',
          target: targetOf(args, audit),
          remote: '',
          datacenter: options.datacenter || deps.datacenter,
          node: deps.node,
          status,
          verdict: status === 'permission_denied' || status === 'unauthenticated' ? 'denied' : 'allowed',
          ...(error === undefined ? {} : { error }),
        });
      try {
        const result = await contract.write(name, args, options);
        record('ok');
        return result;
      } catch (thrown) {
        const error = IsthmusError.from(thrown);
        record(error.code, error.message);
        throw thrown;
      }
    },
  };
}

/** Longest value that is put on record. */
const MAX_VALUE = 256;

/** The texts at these paths, whatever the case of the keys: `{ entry: { Kind, Name } }`, as it was sent. */
function targetOf(args: unknown, paths: readonly string[]): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  const wanted = new Set(paths.map((path) => path.toLowerCase()));
  const look = (value: unknown, prefix: string, deeper: boolean): void => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
    for (const [key, inner] of Object.entries(value)) {
      const path = prefix + key;
      if (typeof inner !== 'string') {
        if (deeper) look(inner, `${path}.`, false);
      } else if (inner !== '' && wanted.has(path.toLowerCase())) found[path] = inner.slice(0, MAX_VALUE);
    }
  };
  look(args, '', true);
  return found;
}
