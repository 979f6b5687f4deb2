import type { PrimaryCa } from '../../domain/ca/ca.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';

/** What a secondary's authority needs of the primary, over the link to it; calls carry the replication token. */
export function remotePrimaryCa(primary: ServerContract): PrimaryCa {
  return {
    async *watchRoots(signal) {
      for await (const { value } of primary.watch('ca.roots', {}, { signal })) yield value;
    },
    async signIntermediate(csr, datacenter, signal) {
      return (await primary.write('ca.signIntermediate', { csr, datacenter }, { signal })).value;
    },
    async report(report, signal) {
      await primary.write('ca.reportDatacenter', report, { signal });
    },
    async *watchConfig(signal) {
      for await (const { value } of primary.watch('ca.config', {}, { signal })) yield value;
    },
    async config(signal) {
      return (await primary.read('ca.config', {}, { signal })).value;
    },
  };
}
