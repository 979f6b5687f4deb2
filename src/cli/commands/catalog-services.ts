import type { CallOptions } from '../../client/options.ts';
import { type Command, doing } from '../command.ts';

/** Blanks between the longest name and its tags. */
const GAP = 6;

export const catalogServices: Command = {
  path: ['catalog', 'services'],
  synopsis: 'List the services of a datacenter',
  flags: [
    { name: 'tags', kind: 'bool', about: 'Show the tags of each.' },
    { name: 'node', kind: 'text', placeholder: 'name', about: 'Only services of this node.' },
    { name: 'node-meta', kind: 'list', placeholder: 'key=value', about: 'Only services on nodes with this metadata.' },
  ],
  api: 'server',
  async run({ client, flags, json, printJson, print, complain, io }) {
    const call: CallOptions = flags.has('node-meta') ? { nodeMeta: flags.pairs('node-meta') } : {};
    const { catalog } = client();
    const node = flags.text('node');
    const services = await doing(
      'Error listing services',
      node === ''
        ? catalog.services(call).then((answer) => answer.value)
        : catalog.node(node, call).then((answer) => tagsByService(Object.values(answer.value?.Services ?? {}))),
    );
    if (json) {
      printJson(services);
      return 0;
    }
    const names = Object.keys(services).sort();
    if (names.length === 0) {
      complain('No services match the given query - try expanding your search.');
      return 0;
    }
    if (!flags.bool('tags')) {
      for (const name of names) print(name);
      return 0;
    }
    const width = Math.max(...names.map((name) => name.length)) + GAP;
    const lines = names.map((name) => name.padEnd(width) + [...(services[name] ?? [])].sort().join(','));
    io.out(`${lines.join('\n').trimEnd()}\n`);
    return 0;
  },
};

function tagsByService(
  services: readonly { readonly Service: string; readonly Tags: readonly string[] | null }[],
): Record<string, string[]> {
  const tags: Record<string, string[]> = {};
  for (const service of services) {
    tags[service.Service] = [...new Set([...(tags[service.Service] ?? []), ...(service.Tags ?? [])])];
  }
  return tags;
}
