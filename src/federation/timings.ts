/** How links behave in time. All in milliseconds. */
export interface FederationTimings {
  /** Between two heartbeats. Default 2,000. */
  readonly heartbeatMs: number;
  /** A link silent for this long is suspect. Default 6,000: three heartbeats without an answer. */
  readonly suspectMs: number;
  /** A link silent for this long is down. Default 10,000; found at the next heartbeat, so within 12 s. */
  readonly downMs: number;
  /** From dialling until both sides know each other. Default 5,000. */
  readonly handshakeMs: number;
  /** Longest pause before a link that went down is dialled again. Default 3,000. */
  readonly reconnectMs: number;
  /** Pause before a refused link is tried again: its reason may have been put right. Default 10,000. */
  readonly refusedMs: number;
  /** A server that has been away for this long is forgotten. Default 72 hours, as Consul's reconnect_timeout_wan. */
  readonly forgetMs: number;
}

export const DEFAULT_TIMINGS: FederationTimings = {
  heartbeatMs: 2_000,
  suspectMs: 6_000,
  downMs: 10_000,
  handshakeMs: 5_000,
  reconnectMs: 3_000,
  refusedMs: 10_000,
  forgetMs: 72 * 3_600_000,
};
