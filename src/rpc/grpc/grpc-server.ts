import type { ServerHttp2Stream } from 'node:http2';
import { Server, type ServerOptions } from '@grpc/grpc-js';
import { invariant } from '../../lib/errors.ts';

type StreamHandler = (interceptors: unknown, stream: ServerHttp2Stream, headers: unknown) => void;

/**
 * A server of gRPC that no caller can end. The library refuses a call of an unknown method or content type without looking
 * whether its stream is still there; when the caller took it back in the same breath, that throws where nobody catches.
 */
export function createGrpcServer(options: ServerOptions): Server {
  const server = new Server(options);
  const inside = server as unknown as { _streamHandler: StreamHandler };
  const handle = inside._streamHandler;
  invariant(typeof handle === 'function', 'this version of gRPC takes calls elsewhere: see createGrpcServer');
  inside._streamHandler = (interceptors, stream, headers) => {
    try {
      handle.call(server, interceptors, stream, headers);
    } catch {
      stream.destroy();
    }
  };
  return server;
}
