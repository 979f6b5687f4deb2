import { create, type DescField, type DescMessage, type Message, ScalarType } from '@bufbuild/protobuf';
import type { Patch, PropertyOverrideExtension } from '../../../../model/envoy-extensions/extensions.ts';
import { ClusterSchema } from '../../gen/envoy/config/cluster/v3/cluster_pb.ts';
import { ClusterLoadAssignmentSchema } from '../../gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import { ListenerSchema } from '../../gen/envoy/config/listener/v3/listener_pb.ts';
import { RouteConfigurationSchema } from '../../gen/envoy/config/route/v3/route_pb.ts';
import type { About, ResourcePatch } from './patch.ts';

/** Single fields of what Envoys are given, set or removed by their path. */
export function propertyOverridePatch({ patches }: PropertyOverrideExtension): ResourcePatch {
  const apply = (type: Patch['resource'], schema: DescMessage) => (message: Message, about: About) => {
    for (const patch of patches)
      if (patch.resource === type && isMeant(patch, about)) patched(schema, message as Fields, patch.path, patch);
  };
  return {
    cluster: apply('cluster', ClusterSchema),
    endpoints: apply('cluster-load-assignment', ClusterLoadAssignmentSchema),
    listener: apply('listener', ListenerSchema),
    route: apply('route', RouteConfigurationSchema),
  };
}

function isMeant({ direction, services }: Patch, about: About): boolean {
  if (direction !== about.direction) return false;
  return services.length === 0 || services.some((service) => about.services.includes(service));
}

type Fields = Record<string, unknown>;
interface OneOf {
  case: string | undefined;
  value?: unknown;
}

/** Fields by the names that Envoy's documents have. */
function patched(schema: DescMessage, message: Fields, path: readonly string[], patch: Patch): void {
  const [name = '', ...rest] = path;
  const field = schema.fields.find((each) => each.name === name);
  if (field === undefined) throw new Error(`${schema.typeName} has no field ${name} (${fieldNames(schema)})`);
  if (rest.length === 0) {
    if (!('value' in patch)) clear(message, field);
    else set(message, field, valueFor(field, patch.value, name));
    return;
  }
  if (field.fieldKind !== 'message' || isWrapper(field.message))
    throw new Error(`${name} has no fields that could be set: ${rest.join('/')}`);
  let inner = get(message, field) as Fields | undefined;
  if (inner === undefined) {
    inner = create(field.message) as unknown as Fields;
    set(message, field, inner);
  }
  patched(field.message, inner, rest, patch);
}

const SHOWN_FIELDS = 10;

function fieldNames({ fields }: DescMessage): string {
  const names = fields.map(({ name }) => name);
  return names.length <= SHOWN_FIELDS ? names.join(', ') : `${names.slice(0, SHOWN_FIELDS).join(', ')}, …`;
}

function get(message: Fields, field: DescField): unknown {
  if (field.oneof === undefined) return message[field.localName];
  const one = message[field.oneof.localName] as OneOf;
  return one.case === field.localName ? one.value : undefined;
}

function set(message: Fields, field: DescField, value: unknown): void {
  if (field.oneof === undefined) message[field.localName] = value;
  else message[field.oneof.localName] = { case: field.localName, value } satisfies OneOf;
}

function clear(message: Fields, field: DescField): void {
  if (field.oneof !== undefined) {
    const one = message[field.oneof.localName] as OneOf;
    if (one.case === field.localName) message[field.oneof.localName] = { case: undefined };
    return;
  }
  const { localName } = field;
  const empty = field.parent === undefined ? {} : (create(field.parent) as unknown as Fields);
  if (localName in empty) message[localName] = empty[localName];
  else delete message[localName];
}

function valueFor(field: DescField, value: unknown, where: string): unknown {
  switch (field.fieldKind) {
    case 'scalar':
      return scalar(field.scalar, value, where);
    case 'enum': {
      const found = field.enum.values.find(({ name, number }) => name === value || number === value);
      if (found === undefined)
        throw new Error(`${where} is one of ${field.enum.values.map(({ name }) => name).join(', ')}`);
      return found.number;
    }
    case 'list':
      if (field.listKind !== 'scalar' || !Array.isArray(value))
        throw new Error(`${where} can't be set: not a list of values`);
      return value.map((each) => scalar(field.scalar, each, where));
    case 'map':
      throw new Error(`${where} can't be set: it is a map`);
    case 'message':
      return isWrapper(field.message) ? wrapped(field.message, value, where) : messageOf(field.message, value, where);
  }
}

function messageOf(schema: DescMessage, value: unknown, where: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error(`${where} must be an object`);
  const message = create(schema) as unknown as Fields;
  for (const [name, each] of Object.entries(value)) {
    const patch = { value: each } as Patch;
    patched(schema, message, [name], patch);
  }
  return message;
}

/** google.protobuf.UInt32Value and the like are the value itself. */
function isWrapper({ typeName }: DescMessage): boolean {
  return /^google\.protobuf\.(Double|Float|U?Int(32|64)|Bool|String|Bytes)Value$/.test(typeName);
}

function wrapped({ fields }: DescMessage, value: unknown, where: string): unknown {
  const [only] = fields;
  return only?.fieldKind === 'scalar' ? scalar(only.scalar, value, where) : undefined;
}

const BIG: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.UINT64,
  ScalarType.FIXED64,
  ScalarType.SFIXED64,
  ScalarType.SINT64,
]);

function scalar(type: ScalarType, value: unknown, where: string): unknown {
  const given = typeof value;
  if (type === ScalarType.STRING || type === ScalarType.BOOL) {
    if (given === (type === ScalarType.STRING ? 'string' : 'boolean')) return value;
    throw new Error(`${where} must be ${type === ScalarType.STRING ? 'a text' : 'true or false'}`);
  }
  if (type === ScalarType.BYTES) throw new Error(`${where} can't be set: it is binary`);
  const number = given === 'string' && value !== '' ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isFinite(number)) throw new Error(`${where} must be a number`);
  const whole = type !== ScalarType.DOUBLE && type !== ScalarType.FLOAT;
  if (whole && !Number.isInteger(number)) throw new Error(`${where} must be a whole number`);
  return BIG.has(type) ? BigInt(number) : number;
}
