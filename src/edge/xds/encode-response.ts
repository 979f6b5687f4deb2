import { HEAD_BYTES } from './message-reader.ts';
import { type Resource, versionOf } from './resource.ts';
import { XDS_TYPE_INFO, type XdsType } from './types.ts';

/**
 * Messages to Envoys, written around the bytes of their resources: a resource is encoded once, when it is made, and
 * goes to a thousand streams as a copy. The numbers of fields are those of
 * `envoy/service/discovery/v3/discovery.proto`, whose generated code reads these messages in the tests.
 */

/** A message, ready to be sent. */
export interface EncodedResponse {
  readonly type: XdsType;
  /** Resources in it. */
  readonly count: number;
  readonly version: string;
  /** With the head of gRPC. */
  readonly frame: Buffer;
}

export interface DeltaParts {
  readonly type: XdsType;
  readonly nonce: string;
  readonly resources: readonly Resource[];
  readonly removed: readonly string[];
}

export interface WholeParts {
  readonly type: XdsType;
  readonly nonce: string;
  readonly version: string;
  readonly resources: readonly Resource[];
}

/** `DeltaDiscoveryResponse`: resources 2, type_url 4, nonce 5, removed_resources 6. */
export function encodeDelta({ type, nonce, resources, removed }: DeltaParts): EncodedResponse {
  const { url } = XDS_TYPE_INFO[type];
  let size = textSize(url) + textSize(nonce);
  for (const resource of resources) size += fieldSize(deltaResourceSize(resource, url));
  for (const name of removed) size += textSize(name);
  const writer = new Writer(size);
  for (const resource of resources) {
    const { name, version, body } = resource;
    // `Resource`: version 1, resource 2, name 3.
    writer.head(2, deltaResourceSize(resource, url));
    writer.text(1, version);
    writer.any(2, url, body.value);
    writer.text(3, name);
  }
  writer.text(4, url);
  writer.text(5, nonce);
  for (const name of removed) writer.text(6, name);
  return { type, count: resources.length, version: versionOf(resources), frame: writer.frame };
}

/** `DiscoveryResponse`: version_info 1, resources 2, type_url 4, nonce 5. */
export function encodeWhole({ type, nonce, version, resources }: WholeParts): EncodedResponse {
  const { url } = XDS_TYPE_INFO[type];
  let size = textSize(version) + textSize(url) + textSize(nonce);
  for (const { body } of resources) size += fieldSize(anySize(url, body.value));
  const writer = new Writer(size);
  writer.text(1, version);
  for (const { body } of resources) writer.any(2, url, body.value);
  writer.text(4, url);
  writer.text(5, nonce);
  return { type, count: resources.length, version, frame: writer.frame };
}

function deltaResourceSize({ name, version, body }: Resource, url: string): number {
  return textSize(version) + fieldSize(anySize(url, body.value)) + textSize(name);
}

function anySize(url: string, value: Uint8Array): number {
  return textSize(url) + fieldSize(value.length);
}

function textSize(text: string): number {
  return fieldSize(Buffer.byteLength(text));
}

/** Of a field with so many bytes, whose number is below 16. */
function fieldSize(length: number): number {
  let size = 1 + length;
  for (let rest = length; ; rest >>>= 7) {
    size += 1;
    if (rest < 0x80) return size;
  }
}

/** Writes a message whose fields all have a length, and a number below 16. */
class Writer {
  readonly frame: Buffer;
  #at = HEAD_BYTES;

  constructor(size: number) {
    this.frame = Buffer.allocUnsafe(HEAD_BYTES + size);
    this.frame[0] = 0; // not compressed
    this.frame.writeUInt32BE(size, 1);
  }

  head(number: number, length: number): void {
    this.#byte((number << 3) | 2);
    let rest = length;
    for (; rest >= 0x80; rest >>>= 7) this.#byte((rest & 0x7f) | 0x80);
    this.#byte(rest);
  }

  text(number: number, text: string): void {
    this.head(number, Buffer.byteLength(text));
    this.#at += this.frame.write(text, this.#at);
  }

  /** `google.protobuf.Any`: type_url 1, value 2. */
  any(number: number, url: string, value: Uint8Array): void {
    this.head(number, anySize(url, value));
    this.text(1, url);
    this.head(2, value.length);
    this.frame.set(value, this.#at);
    this.#at += value.length;
  }

  #byte(value: number): void {
    this.frame[this.#at] = value;
    this.#at += 1;
  }
}
