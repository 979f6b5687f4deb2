/** HTTP/2 written by hand: what a client of good manners never sends can be sent with it. */

export const HTTP2_PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export const FRAME = { data: 0, headers: 1, reset: 3, settings: 4 } as const;
export const END_STREAM = 1;
export const END_HEADERS = 4;

/** A frame (RFC 9113, section 4.1): length, type, flags, stream, payload. */
export function http2Frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Headers that are not indexed (RFC 7541, section 6.2.2); names and values below 127 bytes. */
export function http2Headers(headers: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(headers).flatMap(([name, value]) => [
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ]),
  );
}

/** The beginning of a connection and one call on stream 1. */
export function grpcCall(method: string, contentType = 'application/grpc'): Buffer {
  const headers = http2Headers({
    ':method': 'POST',
    ':scheme': 'http',
    ':path': `/isthmus.v1.Server/${method}`,
    ':authority': 'x',
    'content-type': contentType,
    te: 'trailers',
  });
  return Buffer.concat([
    HTTP2_PREFACE,
    http2Frame(FRAME.settings, 0, 0, Buffer.alloc(0)),
    http2Frame(FRAME.headers, END_HEADERS, 1, headers),
  ]);
}

/** A message in gRPC's frame. */
export function grpcMessage(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
