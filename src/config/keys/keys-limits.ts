import { used } from './key.ts';
import { duration, integer } from './kind.ts';

/** What one client may take. docs/limits.md says what happens above each. */
export const LIMITS_KEYS = {
  'limits.http_max_conns_per_client': used(integer(), 200, 'Connections that one address may hold; 0 is any.'),
  'limits.http_max_watchers_per_client': used(
    integer(),
    4_096,
    'Blocking queries and streams that one address may have open; 0 is any. Not in Consul.',
  ),
  'limits.http_max_requests_in_flight': used(
    integer(1),
    16_384,
    'Requests of all clients that are not answered yet. Not in Consul.',
  ),
  'limits.http_max_body_bytes': used(integer(1), 524_288, 'Most bytes of a request’s body. Not in Consul.'),
  'limits.kv_max_value_size': used(integer(1), 524_288, 'Most bytes of a value of the key/value store.'),
  'limits.txn_max_req_len': used(
    integer(1),
    524_288,
    'Most bytes of the body of a transaction; at least `limits.kv_max_value_size` holds.',
  ),
  session_ttl_min: used(duration, 10_000, 'Shortest TTL of a session.'),
  'limits.http_header_timeout': used(duration, 10_000, 'How long the headers of a request may take. Not in Consul.'),
  'limits.http_request_timeout': used(duration, 60_000, 'How long a whole request may take. Not in Consul.'),
  'limits.http_idle_timeout': used(
    duration,
    120_000,
    'How long a connection without a request stays open. Not in Consul.',
  ),
  'limits.http_write_timeout': used(duration, 60_000, 'How long a client may take to read its answer. Not in Consul.'),
  'limits.https_handshake_timeout': used(duration, 5_000, 'How long a TLS handshake with the API may take.'),
  'limits.rpc_handshake_timeout': used(
    duration,
    5_000,
    'How long a new connection to a server port may take for its first bytes.',
  ),
  'limits.dns_max_conns_per_client': used(
    integer(),
    128,
    'TCP connections for DNS that one address may hold; 0 is any.',
  ),
  'limits.rpc_max_conns_per_client': used(
    integer(),
    100,
    'Connections to the server ports that one address may hold; 0 is any.',
  ),
} as const;
