import { brotliDecompressSync } from 'node:zlib';
import {
  createFileRegistry,
  type DescMessage,
  type FileRegistry,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { IsthmusError } from '../../lib/errors.ts';
import { ENVOY_API } from './gen/api.ts';

let api: FileRegistry | undefined;

/** All messages of Envoy's API, also those that nothing here sends: users may write any of them. */
function envoyApi(): FileRegistry {
  api ??= createFileRegistry(
    fromBinary(FileDescriptorSetSchema, brotliDecompressSync(Buffer.from(ENVOY_API, 'base64'))),
  );
  return api;
}

/**
 * A message that a user wrote as JSON, by itself or with its type (`@type`). Throws `rejected`, with what is wrong in
 * it.
 */
export function messageFromJson<D extends DescMessage>(schema: D, text: string): MessageShape<D> {
  try {
    const { '@type': type, ...fields } = JSON.parse(text) as JsonObject;
    const name = typeof type === 'string' ? type.slice(type.lastIndexOf('/') + 1) : schema.typeName;
    if (name !== schema.typeName) throw new Error(`"@type" is ${name}, and ${schema.typeName} is needed`);
    const known = envoyApi().getMessage(schema.typeName);
    if (known === undefined) throw new Error(`${schema.typeName} is not known`);
    const message = fromJson(known, fields as JsonValue, { registry: envoyApi() });
    return fromBinary(schema, toBinary(known, message));
  } catch (cause) {
    throw new IsthmusError('rejected', `is no ${schema.typeName} of Envoy's: ${(cause as Error).message}`, { cause });
  }
}
