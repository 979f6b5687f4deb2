import type { Agent } from 'node:https';
import type { ConnectionOptions, Server, TLSSocket, TlsOptions } from 'node:tls';
import type { IsthmusError } from '../../lib/errors.ts';
import type { ClientOptions } from '../options.ts';

/** Who an application is, and where its agent is. */
export interface ConnectOptions {
  /** Service of this application: the name in its certificate. Register it with `Connect: { Native: true }`. */
  readonly service: string;
  /**
   * The agent of this node. Default `127.0.0.1:8500` without a token. With access control on, the token needs
   * `service:write` on the service, and `service:read` and `node:read` on what it calls.
   */
  readonly agent?: Partial<ClientOptions>;
  /** Longest wait for the first certificate, milliseconds. Default 30,000. */
  readonly startTimeoutMs?: number;
  /** Called with each connection that is refused, and each open one that a change of intentions ends. */
  readonly onRefused?: (refusal: Refusal) => void;
  /** Called when something could not be followed; it is tried again, and what was known before stays in effect. */
  readonly onProblem?: (problem: Problem) => void;
}

/** The service at the other end of a connection. */
export interface Caller {
  /** SPIFFE URI of its certificate. */
  readonly uri: string;
  readonly service: string;
  readonly datacenter: string;
}

export interface Refusal {
  /** Absent when the certificate could not be read. */
  readonly caller?: Caller;
  /** IP address. */
  readonly from: string;
  /** Why, and which intention decided it. */
  readonly text: string;
  /** True: it was open, and a change ended it. */
  readonly wasOpen: boolean;
}

export interface Problem {
  /** What is followed: `certificate`, `roots`, `intentions`, or the name of an upstream. */
  readonly what: string;
  readonly error: IsthmusError;
  /** Milliseconds; absent when it is not tried again. */
  readonly retryInMs?: number;
}

/** What is called: exactly one of `service` and `query`. */
export interface UpstreamOptions {
  readonly service?: string;
  /** A prepared query, by name or ID. */
  readonly query?: string;
  /** Where the service is looked for; default the agent's own datacenter. A query says by itself. */
  readonly datacenter?: string;
  /** One attempt to reach an instance, milliseconds. Default what the service's resolver says, 5,000 for a query. */
  readonly connectTimeoutMs?: number;
  /** All attempts of one connection together, milliseconds. Default 15,000. */
  readonly dialTimeoutMs?: number;
  /** Protocols offered by ALPN, such as `h2`. Default none. */
  readonly protocols?: readonly string[];
}

/** A service that this application calls. Its instances are followed until {@link Connect.stop}. */
export interface Upstream {
  /**
   * A connection to a healthy instance, whose identity is that of the service. One that can't be reached is left out
   * for a while and the next one is tried, then those of the next target, as the service's resolver or the query says.
   */
  dial(options?: { readonly signal?: AbortSignal }): Promise<TLSSocket>;
  /**
   * For `https.request`: the host of the URL is only sent as the Host header. Keeps connections for the next request.
   */
  readonly agent: Agent;
  /** Instances that are dialled, the preferred ones first, as `host:port`. */
  readonly instances: readonly string[];
}

/** An application that is a member of the mesh by itself, without a sidecar. */
export interface Connect {
  readonly service: string;
  /** Resolves with the first certificate. Rejects when the agent refuses, or gives none within the time. */
  start(): Promise<void>;
  /** Ends all that is followed. Connections go on; {@link protect}ed servers take no new ones. */
  stop(): Promise<void>;
  /** When the present certificate expires, milliseconds since 1970. */
  readonly certificateExpires: number;
  /** Options for `createServer` of `node:tls`, `node:https` and `node:http2`. Then {@link protect} the server. */
  serverOptions(): TlsOptions;
  /**
   * From now on the server shows the newest certificate, takes only certificates of the mesh, asks the agent about each
   * caller before the application sees the connection, and ends open ones that a new deny forbids. Returns the server.
   */
  protect<S extends Server>(server: S): S;
  /** Who called, for a connection (or `request.socket`) of a protected server. */
  callerOf(socket: object): Caller | undefined;
  /**
   * Options for one `tls.connect` to an address that the application knows by itself: they show the certificate and
   * check that the given service answers. Ask for new ones for each connection. {@link upstream} also finds the
   * address.
   */
  clientOptions(server: { readonly service: string; readonly datacenter?: string }): ConnectionOptions;
  /** The same object for the same options. */
  upstream(options: UpstreamOptions): Upstream;
}
