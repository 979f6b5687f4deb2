import { tryParseDuration } from '../../lib/duration.ts';
import { type ConfigNode, joinObjects, type ObjectNode, positionError, toPlain } from '../../lib/hcl/node.ts';
import type { Definition } from '../types.ts';
import { CHECK_FIELDS, type Field, SERVICE_FIELDS } from './definition-fields.ts';
import { blocks, fail, integer, type Kind, type Place, text, textMap, texts, toggle, unwrap } from './kind.ts';
import { unknownKey } from './suggest.ts';

const wholeNumber = integer(Number.MIN_SAFE_INTEGER);
const canonical = (key: string): string => key.toLowerCase().replaceAll('_', '');

function readField(field: Field, nodes: readonly ConfigNode[], place: Place): unknown {
  switch (field.type) {
    case 'text':
      return text.read(nodes, place);
    case 'texts':
      return texts.read(nodes, place);
    case 'toggle':
      return toggle.read(nodes, place);
    case 'number':
      return wholeNumber.read(nodes, place);
    case 'textMap':
      return textMap.read(nodes, place);
    case 'duration':
      return readDuration(nodes, place);
    case 'headers':
      return readHeaders(nodes, place);
    case 'opaque':
      return Object.assign({}, ...blocks(nodes, place).map((block) => toPlain(block) as object));
    case 'block':
      return readFields(joinObjects(blocks(nodes, place)), field.fields!(), place);
    case 'blocks':
      return blocks(nodes, place).map((block, index) =>
        readFields(block, field.fields!(), { ...place, path: `${place.path}[${index}]` }),
      );
    case 'blockMap':
      return Object.fromEntries(
        blocks(nodes, place).flatMap((block) =>
          block.entries.map((entry) => {
            const inside = { ...place, path: `${place.path}.${entry.key}` };
            return [entry.key, readFields(joinObjects(blocks([entry.value], inside)), field.fields!(), inside)];
          }),
        ),
      );
  }
}

/** Kept as text, because the API takes it as text. */
function readDuration(nodes: readonly ConfigNode[], place: Place): string {
  const value = text.read(nodes, place);
  if (value !== '' && tryParseDuration(value) === undefined) {
    fail(place, unwrap(nodes).at, `must be a duration such as "30s" or "1h15m", not the text ${JSON.stringify(value)}`);
  }
  return value;
}

function readHeaders(nodes: readonly ConfigNode[], place: Place): Record<string, readonly string[]> {
  return Object.fromEntries(
    blocks(nodes, place).flatMap((block) =>
      block.entries.map((entry) => {
        const inside = { ...place, path: `${place.path}.${entry.key}` };
        return [entry.key, texts.read([entry.value], inside)];
      }),
    ),
  );
}

function readFields(block: ObjectNode, fields: readonly Field[], place: Place): Definition {
  const given = new Map<Field, ConfigNode[]>();
  for (const entry of block.entries) {
    const field = fields.find((candidate) => canonical(candidate.name) === canonical(entry.key));
    if (field === undefined) {
      const names = fields.map((candidate) => candidate.name);
      throw positionError(place.file, entry.at, unknownKey(`${place.path}.${entry.key}`, entry.key, names));
    }
    if (entry.value.kind === 'scalar' && entry.value.value === null) continue;
    const seen = given.get(field);
    if (seen === undefined) given.set(field, [entry.value]);
    else seen.push(entry.value);
  }
  const result: Record<string, unknown> = {};
  for (const [field, nodes] of given) {
    result[field.api] = readField(field, nodes, { ...place, path: `${place.path}.${field.name}` });
  }
  return result;
}

function definitions(label: string, fields: readonly Field[]): Kind<readonly Definition[]> {
  return {
    label,
    read: (nodes, place) => blocks(nodes, place).map((block) => readFields(block, fields, place)),
    merge: (earlier, later) => [...earlier, ...later],
    show: () => '',
  };
}

/** Services in the shape of the API's registration. */
export const services = definitions('service definitions', SERVICE_FIELDS);

/** Checks in the shape of the API's registration. */
export const checks = definitions('check definitions', CHECK_FIELDS);
