/** What one client may take from the edge. Times are milliseconds. */
export interface HttpLimits {
  /** Bytes of a body; more is answered 413. Default 524,288 (as Consul's `kv_max_value_size`). */
  readonly maxBodyBytes: number;
  /**
   * Bytes of the bodies of all requests that arrive or are not answered yet; above it some are answered 503. At least a
   * few of the largest. Default 67,108,864.
   */
  readonly maxBodiesBytes: number;
  /** Bytes of the request line and all headers; more is answered 431. Default 32,768. */
  readonly maxHeaderBytes: number;
  /**
   * Connections that one client address may hold; above it those that have asked nothing yet are closed, else the
   * newest is answered 429. 0 is without limit. Default 200.
   */
  readonly maxConnectionsPerClient: number;
  /**
   * Connections of all clients. Above it, those that have asked nothing yet are closed, of the client that holds most.
   * Default 16,384.
   */
  readonly maxConnections: number;
  /**
   * Blocking queries and streams that one client address may have open; more are answered 429. 0 is without limit.
   * Default 4,096.
   */
  readonly maxWatchersPerClient: number;
  /** Requests under way, of all clients; more are answered 503. Default 16,384. */
  readonly maxRequestsInFlight: number;
  /** A TLS handshake must be done within this time. Default 5,000. */
  readonly tlsHandshakeMs: number;
  /** A connection must send its request's headers within this time. Default 10,000. */
  readonly headersMs: number;
  /** A request must have arrived whole within this time. Default 60,000. */
  readonly requestMs: number;
  /** An idle kept-alive connection is closed after this time. Default 120,000. */
  readonly keepAliveMs: number;
  /** A client must have read an answer within this time. Default 60,000. */
  readonly writeMs: number;
  /** A write to the API must be decided within this time. Default 60,000. */
  readonly decideMs: number;
  /** When the edge stops, requests under way get this long to end. Default 3,000. */
  readonly drainMs: number;
  /** Time between two heartbeats on a stream. Default 10,000. */
  readonly heartbeatMs: number;
  /** URLs whose parsed form is kept. Default 4,096. */
  readonly keptUrls: number;
}

export const DEFAULT_LIMITS: HttpLimits = {
  maxBodyBytes: 524_288,
  maxBodiesBytes: 64 * 1_024 * 1_024,
  maxHeaderBytes: 32_768,
  maxConnectionsPerClient: 200,
  maxConnections: 16_384,
  maxWatchersPerClient: 4_096,
  maxRequestsInFlight: 16_384,
  tlsHandshakeMs: 5_000,
  headersMs: 10_000,
  requestMs: 60_000,
  keepAliveMs: 120_000,
  writeMs: 60_000,
  decideMs: 60_000,
  drainMs: 3_000,
  heartbeatMs: 10_000,
  keptUrls: 4_096,
};
