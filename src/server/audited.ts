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

/** Deepest part of the arguments that is looked at. */
const MAX_DEPTH = 5;

/**
 * The texts at these paths, whatever the case of the keys: `{ entry: { Kind, Name } }`, as it was sent. What lies in a
 * list has the list's path; its values are joined.
 */
function targetOf(args: unknown, paths: readonly string[]): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  const wanted = paths.map((path) => path.toLowerCase());
  const look = (value: unknown, path: string, depth: number): void => {
    if (typeof value === 'string') {
      if (value === '' || !wanted.includes(path.toLowerCase())) return;
      const joined = found[path] === undefined ? value : `${found[path]}, ${value}`;
      found[path] = joined.slice(0, MAX_VALUE);
      return;
    }
    if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return;
    if (Array.isArray(value)) {
      for (const item of value as readonly unknown[]) look(item, path, depth + 1);
      return;
    }
    const prefix = path === '' ? '' : `${path}.`;
    const below = prefix.toLowerCase();
    if (path !== '' && !wanted.some((one) => one.startsWith(below))) return;
    for (const [key, inner] of Object.entries(value)) look(inner, prefix + key, depth + 1);
  };
  look(args, '', 0);
  return found;
}
