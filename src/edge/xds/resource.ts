import { createHash } from 'node:crypto';
import { create, type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { type Any, AnySchema } from '@bufbuild/protobuf/wkt';
import type { XdsType } from './types.ts';

/** One resource, packed once for every stream and for both protocols. */
export interface Resource {
  readonly type: XdsType;
  readonly name: string;
  /** Of its bytes: the same content has the same version in every process. */
  readonly version: string;
  readonly body: Any;
  /** Made of too little: for an Envoy that has none of this name; one that was there before keeps what it has. */
  readonly provisional?: true;
}

/** Everything that one Envoy is given, by type and name. */
export type ResourceSet = Readonly<Record<XdsType, ReadonlyMap<string, Resource>>>;

/** Of a message: follows from the versions of its resources alone; empty without any. */
export function versionOf(resources: readonly Resource[]): string {
  const [first] = resources;
  if (first === undefined) return '';
  if (resources.length === 1) return first.version;
  const hash = createHash('sha256');
  for (const { name, version } of resources) hash.update(`${name}\0${version}\0`);
  return hash.digest('hex').slice(0, 16);
}

/** A message in an Any: maps of the message must be in a stable order, as they are written in theirs. */
export function pack<D extends DescMessage>(schema: D, message: MessageShape<D>): Any {
  return create(AnySchema, {
    typeUrl: `type.googleapis.com/${schema.typeName}`,
    value: toBinary(schema, message),
  });
}

export function resource<D extends DescMessage>(
  type: XdsType,
  name: string,
  schema: D,
  message: MessageShape<D>,
): Resource {
  const body = pack(schema, message);
  return { type, name, version: createHash('sha256').update(body.value).digest('hex').slice(0, 16), body };
}
