import type { Mesh } from '../domain/queries/mesh.ts';
import type { Federation } from '../federation/federation.ts';

/** What prepared queries see of the datacenters. @param federation asked when it is needed: it is made later. */
export function queryMesh(datacenter: string, federation: () => Federation): Mesh {
  return {
    datacenter,
    datacenters: () => federation().datacenters(),
    reaches: (other) => other === datacenter || federation().connected().includes(other),
    onChange: (listener) => federation().onChange(listener),
    async ask(other, selection, options) {
      return (await federation().contract(other).read('queries.candidates', selection, options)).value;
    },
    async *follow(other, selection, options) {
      for await (const { value } of federation().contract(other).watch('queries.candidates', selection, options))
        yield value;
    },
  };
}
