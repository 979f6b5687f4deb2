import { type ConfigNode, type ObjectNode, toPlain } from '../../lib/hcl/node.ts';
import { snakeCase } from '../../lib/snake-case.ts';
import { unknownKey } from '../../lib/suggest.ts';
import { checkEntry, type EntryFault } from '../../model/entries/registry.ts';
import { plainKey } from '../../model/entries/schema.ts';
import type { Definition } from '../definition.ts';
import { blocks, type Kind } from './kind.ts';

/** `config_entries.bootstrap`: each entry has passed the rules of a write, as far as they look at nothing else. */
export const configEntries: Kind<readonly Definition[]> = {
  label: 'list of configuration entries',
  read: (nodes, place) =>
    blocks(nodes, place).flatMap((block, index) => {
      const problems = place.problems.part();
      const { entry, faults } = checkEntry(toPlain(block));
      for (const fault of faults) {
        const line = lineOf(block, fault.path);
        const text = `${place.file}:${line}: ${describe(fault, `${place.path}[${index}]`)}`;
        if (fault.kind === 'unknown') problems.addUnknown(text);
        else problems.add(text);
      }
      problems.pourInto(place.problems);
      return problems.any || entry === undefined ? [] : [entry as unknown as Definition];
    }),
  merge: (earlier, later) => [...earlier, ...later],
  show: () => '',
};

function describe({ kind, path, text, known = [] }: EntryFault, entry: string): string {
  if (kind !== 'unknown') return `"${entry}": ${text}`;
  const word = path.slice(path.lastIndexOf('.') + 1);
  return unknownKey(`${entry}.${path}`, word, known.map(snakeCase));
}

/** The line of a field, or of what is nearest around it. */
function lineOf(block: ObjectNode, path: string): number {
  let node: ConfigNode = block;
  for (const [, name, inside] of path.matchAll(/([^.[\]]+)|\[([^\]]*)\]/g)) {
    const next: ConfigNode | undefined = name === undefined ? within(node, inside ?? '') : field(node, name);
    if (next === undefined) break;
    node = next;
  }
  return node.at.line;
}

/** The value of a field; several blocks of one name become a list. */
function field(node: ConfigNode, name: string): ConfigNode | undefined {
  const inside = node.kind === 'list' && node.items.length === 1 ? node.items[0] : node;
  if (inside?.kind !== 'object') return undefined;
  const found = inside.entries.filter(({ key }) => plainKey(key) === plainKey(name));
  const [first] = found;
  if (first === undefined) return undefined;
  return found.length === 1 ? withLine(first.value, first.at) : listOf(found.map(({ value }) => value));
}

function withLine(value: ConfigNode, at: ConfigNode['at']): ConfigNode {
  return value.kind === 'scalar' ? { ...value, at } : value;
}

function listOf(items: readonly ConfigNode[]): ConfigNode {
  return { kind: 'list', items, at: (items[0] as ConfigNode).at };
}

/** `[3]` of a list, `[v1]` of a map; a single block stands for a list of one. */
function within(node: ConfigNode, name: string): ConfigNode | undefined {
  if (node.kind === 'list' && /^[0-9]+$/.test(name)) return node.items[Number(name)];
  return field(node, name) ?? (name === '0' ? node : undefined);
}
