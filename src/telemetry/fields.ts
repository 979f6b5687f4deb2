/**
 * Names of the fields that log lines share, so that one search finds a thing wherever it was logged. Fields that only
 * one place uses are named there, in the same style.
 *
 * Every line has `time` (ISO 8601, UTC), `level`, `node` (`sidecar` in a sidecar) and `msg`. A line's own fields never have
 * these names.
 */
export const LOG_FIELDS = {
  /** The part of the process that speaks: 'store', 'federation', 'http' … */
  component: 'component',
  /** What went wrong: `{ code, message }`, with `cause` and, for defects of ours, `stack`. */
  error: 'error',
  datacenter: 'datacenter',
  node: 'node',
  /** The service that a sidecar stands beside. */
  sidecar: 'sidecar',
  /** Name of another server. */
  server: 'server',
  service: 'service',
  check: 'check',
  /** Address of the other side, host:port. */
  peer: 'peer',
  /** SPIFFE ID of the other side. */
  identity: 'identity',
  /** ID that all lines about one request share. */
  request: 'request',
  method: 'method',
  path: 'path',
  status: 'status',
  /** Revision of the store. */
  revision: 'revision',
  /** Serial number of a certificate. */
  serial: 'serial',
  /** Why a certificate is issued, a connection refused …: one word of a closed set. */
  reason: 'reason',
  /** How long something took. */
  seconds: 'seconds',
  /** When it will be tried again. */
  retryInSeconds: 'retry_in_seconds',
} as const;
