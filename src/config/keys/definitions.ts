import { tryParseDuration } from '../../lib/duration.ts';
import type { ConfigNode, ObjectNode } from '../../lib/hcl/node.ts';
import { unknownKey } from '../../lib/suggest.ts';
import { checkDefinitionFaults } from '../../model/registration/check-rules.ts';
import { decodeCheckDefinition, decodeServiceDefinition } from '../../model/registration/definitions.ts';
import { CHECK_FIELDS, SERVICE_FIELDS } from '../../model/registration/fields.ts';
import { type CheckFault, serviceFaults } from '../../model/registration/service-rules.ts';
import { tenancyOf } from '../../model/tenancy.ts';
import type { Definition, PlacedDefinition } from '../definition.ts';
import { type FileField, fileFields } from './definition-fields.ts';
import {
  blocks,
  fail,
  integer,
  type Kind,
  mapEntries,
  oneBlock,
  opaque,
  type Place,
  tenancy,
  text,
  textMap,
  texts,
  toggle,
  unwrap,
} from './kind.ts';

const wholeNumber = integer(Number.MIN_SAFE_INTEGER);
/** 0 is a service without a port. */
const servicePort = integer(0, 65_535);
const canonical = (key: string): string => key.toLowerCase().replaceAll('_', '');

function readField(field: FileField, nodes: readonly ConfigNode[], place: Place): unknown {
  switch (field.type) {
    case 'text':
      return text.read(nodes, place);
    case 'texts':
      return texts.read(nodes, place);
    case 'toggle':
      return toggle.read(nodes, place);
    case 'number':
      return wholeNumber.read(nodes, place);
    case 'port':
      return servicePort.read(nodes, place);
    case 'tenancy':
      return tenancy(tenancyOf(field.name) ?? 'namespace').read(nodes, place);
    case 'textMap':
      return textMap.read(nodes, place);
    case 'duration':
      return readDuration(nodes, place);
    case 'headers':
      return readHeaders(nodes, place);
    case 'opaque':
      return opaque.read(nodes, place);
    case 'block':
      return readFields(oneBlock(nodes, place), field.fields!(), place);
    case 'blocks':
      return readBlocks(field, nodes, place);
    case 'blockMap':
      return Object.fromEntries(
        mapEntries(nodes, place).map((entry) => {
          const inside = { ...place, path: `${place.path}.${entry.key}` };
          return [entry.key, readFields(oneBlock([entry.value], inside), field.fields!(), inside)];
        }),
      );
  }
}

function readBlocks(field: FileField, nodes: readonly ConfigNode[], place: Place): readonly Definition[] {
  return blocks(nodes, place).map((block, index) =>
    readFields(block, field.fields!(), { ...place, path: `${place.path}[${index}]` }),
  );
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
    mapEntries(nodes, place).map((entry) => {
      const inside = { ...place, path: `${place.path}.${entry.key}` };
      return [entry.key, texts.read([entry.value], inside)];
    }),
  );
}

/** Reads on after a field that is wrong, so that all of them are listed. */
function readFields(block: ObjectNode, fields: readonly FileField[], place: Place): Definition {
  const { problems, file } = place;
  const given = new Map<FileField, ConfigNode[]>();
  for (const entry of block.entries) {
    const field = fields.find((candidate) => canonical(candidate.name) === canonical(entry.key));
    if (field === undefined) {
      const names = fields.map((candidate) => candidate.name);
      problems.addUnknown(`${file}:${entry.at.line}: ${unknownKey(`${place.path}.${entry.key}`, entry.key, names)}`);
      continue;
    }
    if (entry.value.kind === 'scalar' && entry.value.value === null) continue;
    const seen = given.get(field);
    if (seen === undefined) given.set(field, [entry.value]);
    else seen.push(entry.value);
  }
  const result: Record<string, unknown> = {};
  WHERE.set(result, `${file}:${block.at.line}`);
  for (const [field, nodes] of given) {
    const inside = { ...place, path: `${place.path}.${field.name}` };
    problems.attempt(() => {
      if (field.type === 'tenancy') readField(field, nodes, inside);
      else if (field.several !== undefined && blocks(nodes, inside).length > 1)
        result[field.several] = [...readBlocks(field, nodes, inside), ...listOf(result[field.several])];
      else if (result[field.api] !== undefined && Array.isArray(result[field.api]))
        result[field.api] = [...listOf(result[field.api]), ...listOf(readField(field, nodes, inside))];
      else result[field.api] = readField(field, nodes, inside);
    });
  }
  return result;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

const WHERE = new WeakMap<Definition, string>();

/** File and line of a definition that was read from a file. Beside the definition: a moved line is no change to it. */
export function placed(definition: Definition): PlacedDefinition {
  return { definition, at: WHERE.get(definition) ?? 'a definition' };
}

/** @param faults the rules of registration, whose texts get the file and line of the block. */
function definitions<D>(
  label: string,
  fields: readonly FileField[],
  decode: (value: unknown) => D,
  faults: (definition: D) => readonly (string | CheckFault)[],
): Kind<readonly Definition[]> {
  return {
    label,
    read: (nodes, place) =>
      blocks(nodes, place).flatMap((block) => {
        const problems = place.problems.part();
        const definition = readFields(block, fields, { ...place, problems });
        if (!problems.any)
          for (const fault of faults(decode(definition))) {
            const [text, at] =
              typeof fault === 'string' ? [fault, definition] : [fault.text, checkOf(definition, fault)];
            problems.add(`${placed(at).at}: ${nameOf(place.path, definition)}: ${text}`);
          }
        problems.pourInto(place.problems);
        return problems.any ? [] : [definition];
      }),
    merge: (earlier, later) => [...earlier, ...later],
    show: () => '',
  };
}

/** The block of a check, for its line. */
export function checkOf(definition: Definition, { check, ofSidecar }: Omit<CheckFault, 'text'>): Definition {
  const { SidecarService } = (definition.Connect ?? {}) as { readonly SidecarService?: Definition };
  const { Check, Checks } = (ofSidecar ? SidecarService : definition) ?? {};
  const single = typeof Check === 'object' && Check !== null && Object.keys(Check).length > 0 ? [Check] : [];
  return ([...single, ...listOf(Checks)][check] ?? definition) as Definition;
}

function nameOf(path: string, { Name: name }: Definition): string {
  const what = path.replace(/s$/, '');
  return name === undefined ? `a ${what} without "name"` : `${what} ${JSON.stringify(name)}`;
}

/** Services in the shape of the API's registration. */
export const services = definitions(
  'service definitions',
  fileFields(SERVICE_FIELDS),
  decodeServiceDefinition,
  serviceFaults,
);

/** Checks in the shape of the API's registration. */
export const checks = definitions(
  'check definitions',
  fileFields(CHECK_FIELDS),
  decodeCheckDefinition,
  (definition) => [...checkDefinitionFaults(definition)],
);
