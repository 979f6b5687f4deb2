import type { Federation } from '../../federation/federation.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Mesh } from './mesh.ts';

/**
 * What prepared queries and upstreams see of the datacenters. Each shows what the token of a question may see, this one
 * included. @param own the contract of this datacenter as tokens see it · @param federation both are asked when they are
 * needed: they are made later
 */
export function queryMesh(datacenter: string, own: () => ServerContract, federation: () => Federation): Mesh {
  const contract = (other: string): ServerContract => (other === datacenter ? own() : federation().contract(other));
  return {
    datacenter,
    datacenters: () => federation().datacenters(),
    reaches: (other) => other === datacenter || federation().connected().includes(other),
    onChange: (listener) => federation().onChange(listener),
    async ask(other, selection, options) {
      return (await contract(other).read('queries.candidates', selection, options)).value;
    },
    async *follow(other, selection, options) {
      for await (const { value } of contract(other).watch('queries.candidates', selection, options)) yield value;
    },
  };
}
