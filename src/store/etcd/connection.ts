import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientOptions,
  credentials,
  type Metadata,
  type MethodDefinition,
  status,
} from '@grpc/grpc-js';
import { IsthmusError } from '../../lib/errors.ts';
import type { Endpoint } from './endpoint.ts';
import { CallFailure } from './failure.ts';

/** Paths of PEM files; '' where not given. */
export interface EtcdTls {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** A connection to one member, made when first used and made again when it broke. */
export class Connection {
  readonly endpoint: Endpoint;
  readonly #client: Client;
  readonly #calls = new Set<{ cancel(): void }>();
  #closed = false;

  /** The files are read now, so that renewed certificates count from the next connection on. */
  constructor(endpoint: Endpoint, tls: EtcdTls) {
    this.endpoint = endpoint;
    // With its scheme, so that no host name is taken for another one ("unix:2379").
    this.#client = new Client(`dns:${endpoint.address}`, credentialsFor(endpoint, tls), optionsFor(endpoint));
  }

  /**
   * @param deadline milliseconds since 1970; gRPC's own, because a signal for each call would cost more than the call
   */
  unary<I, O>(method: MethodDefinition<I, O>, request: I, metadata: Metadata, deadline: number): Promise<O> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new CallFailure(this.endpoint.name, status.CANCELLED, 'the connection was left'));
        return;
      }
      const { path, requestSerialize, responseDeserialize } = method;
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        { deadline },
        (error, reply) => {
          this.#calls.delete(call);
          if (error === null && reply !== undefined) resolve(reply);
          else reject(CallFailure.of(this.endpoint.name, error));
        },
      );
      this.#calls.add(call);
    });
  }

  duplex<I, O>(method: MethodDefinition<I, O>, metadata: Metadata): ClientDuplexStream<I, O> {
    const { path, requestSerialize, responseDeserialize } = method;
    const call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    // whoever reads the stream sees it too; one that comes after must not be unhandled
    call.on('error', () => undefined);
    this.#calls.add(call);
    call.once('close', () => this.#calls.delete(call));
    if (this.#closed) call.cancel();
    return call;
  }

  /** Cancels what runs on it: a member that no longer answers must not hold anybody up. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const call of this.#calls) call.cancel();
    this.#client.close();
  }
}

/** etcd ends connections that probe more often than every 5 s (its --grpc-keepalive-min-time). */
const KEEPALIVE_MS = 6_000;
const KEEPALIVE_TIMEOUT_MS = 2_000;

const OPTIONS: ClientOptions = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.enable_channelz': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.keepalive_time_ms': KEEPALIVE_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc-node.flow_control_window': 1024 * 1024,
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
};

/**
 * What is named to a member that is known by its IP address: TLS takes names only, and Node 26 refuses anything else.
 */
const NO_NAME = 'etcd';

/** The IP address that a secure endpoint is given by; undefined for a name. */
function ipOf({ secure, address }: Endpoint): string | undefined {
  const host = address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
  return secure && isIP(host) !== 0 ? host : undefined;
}

function optionsFor(endpoint: Endpoint): ClientOptions {
  return ipOf(endpoint) === undefined ? OPTIONS : { ...OPTIONS, 'grpc.ssl_target_name_override': NO_NAME };
}

function credentialsFor(endpoint: Endpoint, { caFile, certFile, keyFile }: EtcdTls): ChannelCredentials {
  if (!endpoint.secure) return credentials.createInsecure();
  const [ca, cert, key] = [read(caFile), read(certFile), read(keyFile)];
  try {
    const ip = ipOf(endpoint);
    if (ip === undefined) return credentials.createSsl(ca, key, cert);
    return credentials.createSsl(ca, key, cert, {
      checkServerIdentity: (_name: string, shown: PeerCertificate) => checkServerIdentity(ip, shown),
    });
  } catch (cause) {
    const files = [caFile, certFile, keyFile].filter((file) => file !== '').join(', ');
    throw new IsthmusError('invalid_argument', `the certificates for etcd can't be used (${files})`, { cause });
  }
}

function read(path: string): Buffer | null {
  if (path === '') return null;
  try {
    return readFileSync(path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new IsthmusError('invalid_argument', `${path}, for the connection to etcd, can't be read: ${why}`, { cause });
  }
}
