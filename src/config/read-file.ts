import { type ConfigNode, joinObjects, type ObjectNode, positionError } from '../lib/hcl/node.ts';
import { blocks } from './keys/kind.ts';
import { unknownKey } from './keys/suggest.ts';
import { KEY_TREE, type KeyGroup } from './keys/table.ts';

/** A value that a file or a flag gives for a key. */
export interface Given {
  readonly path: string;
  readonly value: unknown;
  /** For errors: `config.hcl:12` or `flag -bind`. */
  readonly origin: string;
}

/** All that one parsed file gives, checked against the key table. */
export function readKeys(root: ObjectNode, file: string): Given[] {
  const given: Given[] = [];
  readGroup(root, KEY_TREE, '', file, given);
  return given;
}

function readGroup(block: ObjectNode, group: KeyGroup, prefix: string, file: string, given: Given[]): void {
  const nodes = new Map<string, ConfigNode[]>();
  for (const entry of block.entries) {
    const name = entry.key.toLowerCase();
    if (!group.keys.has(name) && !group.groups.has(name)) {
      const candidates = [...group.keys.keys(), ...group.groups.keys()];
      throw positionError(file, entry.at, unknownKey(prefix + entry.key, name, candidates));
    }
    if (entry.value.kind === 'scalar' && entry.value.value === null) continue;
    const seen = nodes.get(name);
    if (seen === undefined) nodes.set(name, [entry.value]);
    else seen.push(entry.value);
  }
  for (const [name, values] of nodes) {
    const path = prefix + name;
    const inner = group.groups.get(name);
    if (inner !== undefined) {
      readGroup(joinObjects(blocks(values, { file, path })), inner, `${path}.`, file, given);
      continue;
    }
    const { key } = group.keys.get(name)!;
    const line = values.at(-1)!.at.line;
    given.push({ path, value: key.kind.read(values, { file, path }), origin: `${file}:${line}` });
  }
}
