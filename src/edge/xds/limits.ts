/** Bounds of what Envoys may ask of this agent. What goes beyond is refused with the reason, counted and logged. */
export interface XdsLimits {
  /** Open connections and streams of one address. Default 512: the sidecars of a machine share one. */
  readonly perAddress: number;
  /** Of all addresses. Default 8,192. */
  readonly total: number;
  /** Streams of one proxy: an Envoy that restarts hot has two for a while. Default 4. */
  readonly perProxy: number;
  /** Streams within one connection. Default 16. */
  readonly perConnection: number;
  /** Names that one stream may subscribe to, of all types together. Default 4,096. */
  readonly subscriptions: number;
  /** Characters of a name. Default 1,024. */
  readonly nameLength: number;
  /** Bytes of one message of an Envoy; the first one names all of its extensions. Default 4 MiB. */
  readonly messageBytes: number;
  /** Messages of one stream within ten seconds. Default 5,000. */
  readonly messagesPerTenSeconds: number;
  /** Bytes of these messages. Default 32 MiB. */
  readonly bytesPerTenSeconds: number;
  /** Bytes of messages that have not arrived whole, of one connection. Default 8 MiB. */
  readonly unfinishedPerConnection: number;
  /** Of all connections; above it the largest of those ends. Default 64 MiB. */
  readonly unfinishedTotal: number;
  /** The first message must be there by then. Default 10 s. */
  readonly firstMessageMs: number;
  /** A connection without a stream is closed after this. Default 60 s. */
  readonly idleConnectionMs: number;
  /** The kernel looks after this long of silence whether the other machine still knows the connection. Default 30 s. */
  readonly probeMs: number;
  /** The Envoy itself is asked for a sign after this long, and cut off without an answer. Default 5 min, 20 s. */
  readonly pingMs: number;
  readonly pingTimeoutMs: number;
}

export const DEFAULT_XDS_LIMITS: XdsLimits = {
  perAddress: 512,
  total: 8_192,
  perProxy: 4,
  perConnection: 16,
  subscriptions: 4_096,
  nameLength: 1_024,
  messageBytes: 4 * 1_024 * 1_024,
  messagesPerTenSeconds: 5_000,
  bytesPerTenSeconds: 32 * 1_024 * 1_024,
  unfinishedPerConnection: 8 * 1_024 * 1_024,
  unfinishedTotal: 64 * 1_024 * 1_024,
  firstMessageMs: 10_000,
  idleConnectionMs: 60_000,
  probeMs: 30_000,
  pingMs: 300_000,
  pingTimeoutMs: 20_000,
};
