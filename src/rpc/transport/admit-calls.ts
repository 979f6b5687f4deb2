import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import { IsthmusError } from '../../lib/errors.ts';
import { STREAMS, type StreamName } from '../contract/methods/streams.ts';
import type { Admission } from './admission.ts';
import type { PeerIdentity, TransportSecurity } from './security.ts';
import { METHODS } from './wire.ts';

export interface AdmitCallsDeps {
  readonly admission: Admission;
  readonly identify: TransportSecurity['identify'];
  readonly onRefused: (method: string, peer: string, error: IsthmusError) => void;
}

const NAMES = new Map(
  (Object.keys(METHODS) as (keyof typeof METHODS)[]).flatMap((name) =>
    name in STREAMS ? [[METHODS[name].path, name as StreamName & keyof typeof METHODS] as const] : [],
  ),
);

/**
 * Refuses a call by its headers, before the first byte of a message is read, where a certificate's role decides about
 * the whole method. Reads, watches and writes are named within their message: those are decided there.
 */
export function admitCalls({ admission, identify, onRefused }: AdmitCallsDeps): ServerInterceptor {
  return (method, call) => {
    const name = NAMES.get(method.path);
    if (name === undefined) return passed(call);
    try {
      const caller = (): PeerIdentity | undefined => identify(call.getAuthContext().sslPeerCertificate);
      admission.check(name, STREAMS[name], caller);
      return passed(call);
    } catch (thrown) {
      const error = IsthmusError.from(thrown);
      onRefused(name, call.getPeer(), error);
      // The library starts the call next; its handler gets nothing of it.
      return new ServerInterceptingCall(call, {
        start: (next) =>
          next({
            onReceiveMetadata: () => call.sendStatus({ code: status.PERMISSION_DENIED, details: error.message }),
          }),
      });
    }
  };
}

/** A call that nothing is done to is not wrapped: that would cost each read. */
function passed(call: ServerInterceptingCallInterface): ServerInterceptingCall {
  return call as ServerInterceptingCall;
}
