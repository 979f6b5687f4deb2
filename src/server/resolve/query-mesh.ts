import type { Federation } from '../../federation/federation.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Mesh } from './mesh.ts';

/**
 * What prepared queries and upstreams see of the datacenters: in each what the token of a question may see, also in
 * this one. @param own the contract of this datacenter as tokens see it; it is made later
 */
export function queryMesh(datacenter: string, own: () => ServerContract, federation: Federation): Mesh {
  const contractOf = (other = datacenter): ServerContract =>
    other === datacenter ? own() : federation.contract(other);
  return {
    datacenter,
    datacenters: () => federation.datacenters(),
    reaches: (other) => other === datacenter || federation.connected().includes(other),
    onChange: (listener) => federation.onChange(listener),
    contract: {
      read: (name, args, { datacenter: other, ...options }) => contractOf(other).read(name, args, options),
      watch: (name, args, { datacenter: other, ...options }) => contractOf(other).watch(name, args, options),
    },
  };
}
