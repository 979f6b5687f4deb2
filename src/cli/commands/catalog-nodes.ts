import type { CallOptions } from '../../client/options.ts';
import type { CatalogNode, CatalogService } from '../../model/catalog.ts';
import { type Command, doing } from '../command.ts';
import { columns, pairs } from '../output.ts';

/** Characters of an ID that the short form shows. */
const SHORT_ID = 8;

function nodeOf(service: CatalogService): CatalogNode {
  const { ID, Node, Address, Datacenter, TaggedAddresses, NodeMeta, CreateIndex, ModifyIndex } = service;
  return { ID, Node, Address, Datacenter, TaggedAddresses, Meta: NodeMeta, CreateIndex, ModifyIndex };
}

export const catalogNodes: Command = {
  path: ['catalog', 'nodes'],
  synopsis: 'List the nodes of a datacenter',
  flags: [
    { name: 'detailed', kind: 'bool', about: 'Show whole IDs, tagged addresses and metadata.' },
    { name: 'service', kind: 'text', placeholder: 'name', about: 'Only nodes that run this service.' },
    {
      name: 'near',
      kind: 'text',
      placeholder: 'node',
      about: 'Nearest to this node first; _agent is the agent asked.',
    },
    { name: 'node-meta', kind: 'list', placeholder: 'key=value', about: 'Only nodes with this metadata.' },
    { name: 'filter', kind: 'text', placeholder: 'expression', about: 'Only nodes that the expression selects.' },
  ],
  api: 'server',
  async run({ client, flags, json, printJson, print, complain }) {
    const call: CallOptions = {
      ...(flags.has('near') ? { near: flags.text('near') } : {}),
      ...(flags.has('filter') ? { filter: flags.text('filter') } : {}),
      ...(flags.has('node-meta') ? { nodeMeta: flags.pairs('node-meta') } : {}),
    };
    const { catalog } = client();
    const service = flags.text('service');
    const nodes = await doing(
      'Error listing nodes',
      service === ''
        ? catalog.nodes(call).then((answer) => answer.value)
        : catalog.service(service, call).then((answer) => uniqueNodes(answer.value)),
    );
    if (json) {
      printJson(nodes);
      return 0;
    }
    if (nodes.length === 0) {
      complain('No nodes match the given query - try expanding your search.');
      return 0;
    }
    const rows = flags.bool('detailed')
      ? [
          ['Node', 'ID', 'Address', 'DC', 'TaggedAddresses', 'Meta'],
          ...nodes.map((node) => [
            node.Node,
            node.ID,
            node.Address,
            node.Datacenter,
            pairs(node.TaggedAddresses),
            pairs(node.Meta),
          ]),
        ]
      : [
          ['Node', 'ID', 'Address', 'DC'],
          ...nodes.map((node) => [node.Node, node.ID.slice(0, SHORT_ID), node.Address, node.Datacenter]),
        ];
    print(columns(rows));
    return 0;
  },
};

function uniqueNodes(services: readonly CatalogService[]): CatalogNode[] {
  return [...new Map(services.map((service) => [service.Node, nodeOf(service)])).values()];
}
