import { type DescMessage, fromBinary, type JsonObject, type MessageShape } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { IsthmusError } from '../../lib/errors.ts';
import type { EncodedResponse } from './encode-response.ts';
import type { Resource, ResourceSet } from './resource.ts';
import type { XdsType } from './types.ts';

/** What an Envoy said about resources that it was sent. */
export interface Answer {
  readonly type: XdsType;
  readonly resources: readonly Resource[];
  /** Why it rejected them; undefined: it has taken them over. */
  readonly error: string | undefined;
}

/** What an Envoy says about itself. */
export interface XdsNode {
  /** ID of the proxy. */
  readonly id: string;
  readonly metadata?: JsonObject | undefined;
}

/** What a message of an Envoy comes to, beside what it subscribes to. */
export interface Received {
  /** In the first message; later ones needn't have it. */
  readonly node: XdsNode | undefined;
  /** Its answer to what it was sent, if it is one. */
  readonly answer: Answer | undefined;
}

/**
 * One stream's side of the xDS protocol: what was asked for, sent and confirmed. It sends nothing by itself: whoever
 * owns the stream takes the next message when there is room for it, so that only the newest version of anything ever
 * waits.
 */
export interface XdsProtocol {
  /** Takes a message of the Envoy. Throws when the stream can't go on. */
  receive(message: Uint8Array): Received;
  /** Everything that the Envoy is to have from now on. */
  update(set: ResourceSet): void;
  /** The version of a resource that the Envoy is known to have taken over, on this stream or before it. */
  takenOver(type: XdsType, name: string): string | undefined;
  /** The next message for it, if there is one to send now. */
  next(): EncodedResponse | undefined;
}

/**
 * An answer of an Envoy that has taken over what it was sent, which nearly all messages are: nothing but `type_url` and
 * `response_nonce`. Undefined for any other message.
 * @param fields their numbers
 */
export function plainAnswer(
  message: Uint8Array,
  fields: { readonly typeUrl: number; readonly nonce: number },
): { readonly typeUrl: string; readonly nonce: string } | undefined {
  const reader = new BinaryReader(message);
  let typeUrl = '';
  let nonce = '';
  try {
    while (reader.pos < reader.len) {
      const [field] = reader.tag();
      if (field === fields.typeUrl) typeUrl = reader.string();
      else if (field === fields.nonce) nonce = reader.string();
      else return undefined;
    }
  } catch {
    return undefined; // what is wrong with it is found by reading it in full
  }
  return nonce === '' ? undefined : { typeUrl, nonce };
}

/** A message as its schema says. Throws `invalid_argument` for bytes that are none. */
export function decoded<D extends DescMessage>(schema: D, message: Uint8Array): MessageShape<D> {
  try {
    return fromBinary(schema, message);
  } catch (cause) {
    throw new IsthmusError('invalid_argument', `a message that is no ${schema.name} came`, { cause });
  }
}
