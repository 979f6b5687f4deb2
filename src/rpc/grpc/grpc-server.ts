import type { ServerHttp2Stream } from 'node:http2';
import { Server, type ServerOptions } from '@grpc/grpc-js';
import { invariant } from '../../lib/errors.ts';
import type { Intake } from './intake.ts';

type Headers = Readonly<Record<string, string | string[] | undefined>>;
type StreamHandler = (interceptors: unknown, stream: ServerHttp2Stream, headers: Headers) => void;

/**
 * A server of gRPC that no caller can end. The library refuses a call of an unknown method or content type without
 * looking whether its stream is still there; when the caller cancels it at the same moment, that throws where nothing
 * catches it.
 * @param intake bounds what its callers make it hold; the library knows one bound for a message, whatever its method
 */
export function createGrpcServer(options: ServerOptions, intake?: Intake): Server {
  const server = new Server(options);
  const inside = server as unknown as { _streamHandler: StreamHandler; readonly options: Record<string, unknown> };
  const handle = inside._streamHandler;
  invariant(
    typeof handle === 'function' && typeof inside.options === 'object',
    'this version of gRPC takes calls elsewhere: see createGrpcServer',
  );
  inside._streamHandler = (interceptors, stream, headers) => {
    try {
      // The library reads it at once, for this call.
      if (intake !== undefined)
        inside.options['grpc.max_receive_message_length'] = intake.maxMessage(String(headers[':path']));
      handle.call(server, interceptors, stream, headers);
      intake?.follow(stream);
    } catch {
      stream.destroy();
    }
  };
  return server;
}
