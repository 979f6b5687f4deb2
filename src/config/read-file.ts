import type { ConfigNode, ObjectNode } from '../lib/hcl/node.ts';
import { unknownKey } from '../lib/suggest.ts';
import { oneBlock, type Place } from './keys/kind.ts';
import { KEY_TREE, type KeyGroup } from './keys/table.ts';
import { Problems } from './problems.ts';

/** A value that a file or a flag gives for a key. */
export interface Given {
  readonly path: string;
  readonly value: unknown;
  /** For errors: `config.hcl:12` or `flag -bind`. */
  readonly origin: string;
}

export interface Findings {
  readonly problems: Problems;
  readonly warnings: string[];
}

/**
 * All that one parsed file gives, checked against the key table. What is wrong goes to `problems`; the rest is read on.
 */
export function readKeys(root: ObjectNode, file: string, { problems, warnings }: Findings): Given[] {
  const given: Given[] = [];
  readGroup(root, KEY_TREE, { file, path: '', problems, warnings }, given);
  return given;
}

/** As {@link readKeys}; throws what is wrong. */
export function readKeysStrictly(root: ObjectNode, file: string, warnings: string[]): Given[] {
  const problems = new Problems();
  const given = readKeys(root, file, { problems, warnings });
  problems.throwIfAny();
  return given;
}

function readGroup(block: ObjectNode, group: KeyGroup, place: Place, given: Given[]): void {
  const { file, problems } = place;
  const prefix = place.path === '' ? '' : `${place.path}.`;
  const nodes = new Map<string, ConfigNode[]>();
  for (const entry of block.entries) {
    const name = entry.key.toLowerCase();
    if (!group.keys.has(name) && !group.groups.has(name)) {
      const candidates = [...group.keys.keys(), ...group.groups.keys()];
      problems.addUnknown(`${file}:${entry.at.line}: ${unknownKey(prefix + entry.key, name, candidates)}`);
      continue;
    }
    if (entry.value.kind === 'scalar' && entry.value.value === null) continue;
    const seen = nodes.get(name);
    if (seen === undefined) nodes.set(name, [entry.value]);
    else seen.push(entry.value);
  }
  for (const [name, values] of nodes) {
    const path = prefix + name;
    const inside = { ...place, path };
    const inner = group.groups.get(name);
    if (inner !== undefined) {
      const one = problems.attempt(() => oneBlock(values, inside));
      if (one !== undefined) readGroup(one, inner, inside, given);
      continue;
    }
    const { key } = group.keys.get(name)!;
    const origin = `${file}:${values.at(-1)!.at.line}`;
    problems.attempt(() => given.push({ path, value: key.kind.read(values, inside), origin }), path);
  }
}
