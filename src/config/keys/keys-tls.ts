import { used } from './key.ts';
import { choice, duration, text, toggle } from './kind.ts';

const file = { reloadable: true } as const;
/** Names of Consul 1.9 and of the newer `tls` block. */
const minVersion = choice(['tls10', 'tls11', 'tls12', 'tls13', 'tlsauto', 'tlsv1_0', 'tlsv1_1', 'tlsv1_2', 'tlsv1_3']);

/**
 * Certificates of the server ports (`server`, `serf_lan`, `serf_wan`) of the HTTPS listener and of xDS over TLS. The
 * names of Consul 1.9 count for both; `tls.defaults` counts over them, `tls.internal_rpc`, `tls.https` and `tls.grpc`
 * over that.
 */
export const TLS_KEYS = {
  ca_file: used(text, '', 'PEM file with the authorities that the certificates of others are checked against.', file),
  ca_path: used(text, '', 'Directory of such files (`*.pem`, `*.crt`).', file),
  cert_file: used(
    text,
    '',
    'PEM file with the certificate of this agent, and what stands between it and the CA.',
    file,
  ),
  key_file: used(text, '', 'PEM file with its private key.', file),
  verify_incoming: used(
    toggle,
    false,
    'Only accept clients with a certificate of the authorities, from this machine too.',
  ),
  verify_incoming_rpc: used(toggle, false, 'The same for the server ports alone.'),
  verify_incoming_https: used(toggle, false, 'The same for the HTTPS listener alone.'),
  verify_outgoing: used(
    toggle,
    false,
    'Connect to servers with TLS, and check their certificates, on this machine too.',
  ),
  verify_server_hostname: used(
    toggle,
    false,
    'A server must have a certificate for `server.<datacenter>.<domain>`; implies `verify_outgoing`.',
  ),
  allow_plaintext: used(
    toggle,
    false,
    'Speak plain text with other machines too, where the `verify_` keys let it: what a trusted network says. ' +
      'Without it other machines need certificates or an invitation. Not in Consul.',
  ),
  tls_min_version: used(minVersion, 'tls12', 'Oldest version of TLS; below 1.2 counts as 1.2.'),
  tls_cipher_suites: used(text, '', 'Cipher suites of TLS 1.2, separated by commas. Empty takes those of Node.'),

  'tls.defaults.ca_file': used(text, '', 'As `ca_file`.', file),
  'tls.defaults.ca_path': used(text, '', 'As `ca_path`.', file),
  'tls.defaults.cert_file': used(text, '', 'As `cert_file`.', file),
  'tls.defaults.key_file': used(text, '', 'As `key_file`.', file),
  'tls.defaults.verify_incoming': used(toggle, false, 'As `verify_incoming`.'),
  'tls.defaults.verify_outgoing': used(toggle, false, 'As `verify_outgoing`.'),
  'tls.defaults.verify_server_hostname': used(toggle, false, 'As `verify_server_hostname`.'),
  'tls.defaults.tls_min_version': used(minVersion, 'tls12', 'As `tls_min_version`.'),
  'tls.defaults.tls_cipher_suites': used(text, '', 'As `tls_cipher_suites`.'),

  'tls.internal_rpc.ca_file': used(text, '', '`ca_file` of the server ports.', file),
  'tls.internal_rpc.ca_path': used(text, '', '`ca_path` of the server ports.', file),
  'tls.internal_rpc.cert_file': used(text, '', '`cert_file` of the server ports.', file),
  'tls.internal_rpc.key_file': used(text, '', '`key_file` of the server ports.', file),
  'tls.internal_rpc.verify_incoming': used(toggle, false, '`verify_incoming` of the server ports.'),
  'tls.internal_rpc.verify_outgoing': used(toggle, false, 'As `verify_outgoing`.'),
  'tls.internal_rpc.verify_server_hostname': used(toggle, false, 'As `verify_server_hostname`.'),
  'tls.internal_rpc.tls_min_version': used(minVersion, 'tls12', '`tls_min_version` of the server ports.'),
  'tls.internal_rpc.tls_cipher_suites': used(text, '', '`tls_cipher_suites` of the server ports.'),

  'tls.internal_rpc.managed': used(
    toggle,
    false,
    "Take the certificates of the server ports from the primary's own authority instead of files; implies the three " +
      '`verify_` keys. Not in Consul.',
  ),
  'tls.internal_rpc.managed_cert_ttl': used(
    duration,
    259_200_000,
    'Life of certificates of servers and agents from that authority; that of a datacenter lives 30 times as long. ' +
      'Not in Consul.',
  ),
  join_invite: used(
    text,
    '',
    'File with an invitation of the primary (`isthmus federation invite`), used once to join it. Not in Consul.',
    { flag: 'join-invite' },
  ),

  'tls.https.ca_file': used(text, '', '`ca_file` of the HTTPS listener.', file),
  'tls.https.ca_path': used(text, '', '`ca_path` of the HTTPS listener.', file),
  'tls.https.cert_file': used(text, '', '`cert_file` of the HTTPS listener.', file),
  'tls.https.key_file': used(text, '', '`key_file` of the HTTPS listener.', file),
  'tls.https.verify_incoming': used(toggle, false, '`verify_incoming` of the HTTPS listener.'),
  'tls.https.tls_min_version': used(minVersion, 'tls12', '`tls_min_version` of the HTTPS listener.'),
  'tls.https.tls_cipher_suites': used(text, '', '`tls_cipher_suites` of the HTTPS listener.'),

  'tls.grpc.ca_file': used(text, '', '`ca_file` of xDS over TLS.', file),
  'tls.grpc.ca_path': used(text, '', '`ca_path` of xDS over TLS.', file),
  'tls.grpc.cert_file': used(text, '', '`cert_file` of xDS over TLS.', file),
  'tls.grpc.key_file': used(text, '', '`key_file` of xDS over TLS.', file),
  'tls.grpc.verify_incoming': used(toggle, false, '`verify_incoming` of xDS over TLS.'),
  'tls.grpc.tls_min_version': used(minVersion, 'tls12', '`tls_min_version` of xDS over TLS.'),
  'tls.grpc.tls_cipher_suites': used(text, '', '`tls_cipher_suites` of xDS over TLS.'),
} as const;
