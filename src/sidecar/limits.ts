/** Bounds of one sidecar. Every one has a default; what goes beyond is refused, counted and logged. */
export interface SidecarLimits {
  /** Open inbound connections (plain ones and streams in tunnels). Default 8,192. */
  readonly maxInboundConnections: number;
  /** Inbound TLS handshakes under way. Default 512. Above it, the oldest of the address with most of them ends. */
  readonly maxPendingHandshakes: number;
  /** Of one address; above it, its oldest one ends. Default 256. */
  readonly maxPendingHandshakesPerAddress: number;
  /** Tunnels that others may hold to this sidecar. Default 4,096. */
  readonly maxInboundTunnels: number;
  /** Of one identity, at all its addresses. Above either bound, the oldest that was never used ends. Default 1,024. */
  readonly maxTunnelsPerIdentity: number;
  /** Of those that may not connect, which need one to learn why: of all, and of one identity. Default 256 and 16. */
  readonly maxDeniedTunnels: number;
  readonly maxDeniedTunnelsPerIdentity: number;
  /** Open connections of one upstream. Default 8,192; an upstream's `limits.max_connections` goes before it. */
  readonly maxUpstreamConnections: number;
  /** An inbound handshake must be over by then. Default 5 s. */
  readonly handshakeTimeoutMs: number;
  /** Connecting to the application behind the sidecar. Default 5 s; `local_connect_timeout_ms` goes before it. */
  readonly localConnectTimeoutMs: number;
  /**
   * One attempt to reach an instance: TCP, TLS and the answer. Default 5 s; an upstream's `connect_timeout_ms` goes
   * before it, then the ConnectTimeout of the service's resolver.
   */
  readonly connectTimeoutMs: number;
  /** Instances tried for one connection, beside those of targets that are tried before the last one. Default 4. */
  readonly maxAttempts: number;
  /** A connection without traffic is closed after this. 0, the default, is never. */
  readonly idleTimeoutMs: number;
  /** Open connections may go on for this long on stop. Default 5 s. */
  readonly drainMs: number;
  /** Tunnels to one instance that load may open; beyond only when all are full. Default 4. */
  readonly tunnelsPerInstance: number;
  /** Streams in the least loaded tunnel above which another one is opened. Default 32. */
  readonly streamsBeforeGrowth: number;
  /**
   * Streams in one tunnel. With the resets that a tunnel may send in its life (400) it stays below the 1,000 at which
   * the HTTP/2 server takes resets for an attack. Default 500.
   */
  readonly streamsPerTunnel: number;
  /** A tunnel without streams is closed after this. Default 5 min. */
  readonly tunnelIdleMs: number;
  /** Pause between pings in a tunnel. Default 10 s. */
  readonly pingIntervalMs: number;
  /** A tunnel whose ping is not answered by then is closed. Default 5 s. */
  readonly pingTimeoutMs: number;
  /**
   * When a root is no longer trusted, peers below it have this long to show a newer certificate before their open
   * connections are closed. New ones are refused at once. Default 2 s.
   */
  readonly rootGraceMs: number;
  /**
   * From the end of a request until the end of the application's answer. Default 15 s; `local_request_timeout_ms` goes
   * before it.
   */
  readonly localRequestMs: number;
  /**
   * A request through the sidecar without a byte either way ends after this, unless its route says otherwise. Default 5
   * min.
   */
  readonly requestIdleMs: number;
  /**
   * An idle connection to an instance is closed after this, and one to the application behind the sidecar. Default 60 s
   * and 4 s.
   */
  readonly pooledIdleMs: number;
  readonly localPooledIdleMs: number;
  /** Bytes kept so that a request can be sent again: of one, and of all. Default 64 KiB and 32 MiB. */
  readonly retryBytes: number;
  readonly retryBytesInAll: number;
  /** First and longest time that a failing instance is left out. Default 1 s and 30 s. */
  readonly ejectBaseMs: number;
  readonly ejectMaxMs: number;
}

export const DEFAULT_LIMITS: SidecarLimits = {
  maxInboundConnections: 8_192,
  maxPendingHandshakes: 512,
  maxPendingHandshakesPerAddress: 256,
  maxInboundTunnels: 4_096,
  maxTunnelsPerIdentity: 1_024,
  maxDeniedTunnels: 256,
  maxDeniedTunnelsPerIdentity: 16,
  maxUpstreamConnections: 8_192,
  handshakeTimeoutMs: 5_000,
  localConnectTimeoutMs: 5_000,
  connectTimeoutMs: 5_000,
  maxAttempts: 4,
  idleTimeoutMs: 0,
  drainMs: 5_000,
  tunnelsPerInstance: 4,
  streamsBeforeGrowth: 32,
  streamsPerTunnel: 500,
  tunnelIdleMs: 300_000,
  pingIntervalMs: 10_000,
  pingTimeoutMs: 5_000,
  rootGraceMs: 2_000,
  localRequestMs: 15_000,
  requestIdleMs: 300_000,
  pooledIdleMs: 60_000,
  localPooledIdleMs: 4_000,
  retryBytes: 64 * 1_024,
  retryBytesInAll: 32 * 1_024 * 1_024,
  ejectBaseMs: 1_000,
  ejectMaxMs: 30_000,
};
