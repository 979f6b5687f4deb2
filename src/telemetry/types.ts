/** The types of telemetry, which every floor may import. The implementations are for the daemon only. */

export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Structured log. Messages are constant texts, lower case, no full stop; what varies is a field.
 * error: the operator must act · warn: something failed that heals or is refused · info: a state changed · debug: rest.
 * Never a token, a key or a certificate's private part.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` (by convention `component`) to each line. */
  child(fields: LogFields): Logger;
}

export type Labels = Readonly<Record<string, string>>;

export interface Counter {
  add(amount?: number, labels?: Labels): void;
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
}

export interface Histogram {
  /** In the unit of the name: seconds unless it says otherwise. */
  observe(value: number, labels?: Labels): void;
}

export interface MetricSpec {
  /** `isthmus_<area>_<what>_<unit>`; counters end in _total, times in _seconds. */
  readonly name: string;
  readonly help: string;
  /** The fixed set of label names; values must be few. */
  readonly labels?: readonly string[];
}

/** Where parts of the process declare what they measure. Declaring the same name twice is a defect. */
export interface Metrics {
  counter(spec: MetricSpec): Counter;
  /** With `collect`, the value is read when it is scraped. */
  gauge(spec: MetricSpec, collect?: (set: (value: number, labels?: Labels) => void) => void): Gauge;
  histogram(spec: MetricSpec & { readonly buckets?: readonly number[] }): Histogram;
}

export const noLog: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => noLog,
};

export const noMetrics: Metrics = {
  counter: () => ({ add: () => undefined }),
  gauge: () => ({ set: () => undefined }),
  histogram: () => ({ observe: () => undefined }),
};

/**
 * A change that somebody asked for, and what became of it. Never a secret: the accessor shows whose token it was.
 */
export interface AuditRecord {
  /** `http`: asked of this agent; `rpc`: brought by another server. */
  readonly kind: 'http' | 'rpc';
  /** AccessorID of the token; '' when it is not known, or when there is no access control. */
  readonly accessor: string;
  /** Method, or name of the write. */
  readonly operation: string;
  /** Path with its query, without a token. */
  readonly endpoint: string;
  /** Names and IDs of what it is about. */
  readonly target?: Readonly<Record<string, string>>;
  readonly remote: string;
  /** The datacenter that was asked to decide. */
  readonly datacenter: string;
  /** The node that writes the record. */
  readonly node: string;
  /** HTTP status, or the code of the error; `ok` otherwise. */
  readonly status: string;
  readonly verdict: 'allowed' | 'denied';
  /** Why it failed. */
  readonly error?: string;
}

/** Where changes are put on record. */
export interface Audit {
  record(record: AuditRecord): void;
}
