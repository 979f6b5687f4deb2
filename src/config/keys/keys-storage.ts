import { used } from './key.ts';
import { choice, duration, text, texts } from './kind.ts';

/** Where the datacenter's state is kept. */
export const STORAGE_KEYS = {
  'storage.engine': used(
    choice(['embedded', 'etcd']),
    'embedded',
    'Where a server keeps the state of its datacenter: `embedded` in its own data directory (one server), `etcd` in ' +
      'an etcd cluster (any number of servers).',
  ),
  'storage.etcd.endpoints': used(
    texts,
    [],
    'Members of the etcd cluster, as `https://host:2379`, `http://host:2379` or `host:2379`.',
  ),
  'storage.etcd.ca_file': used(text, '', "PEM file with the authorities that etcd's certificates are checked with."),
  'storage.etcd.cert_file': used(text, '', 'PEM file with the certificate that is shown to etcd.'),
  'storage.etcd.key_file': used(text, '', 'PEM file with the private key of that certificate.'),
  'storage.etcd.username': used(text, '', "User of etcd's access control."),
  'storage.etcd.password': used(text, '', 'Password of that user.', { secret: true }),
  'storage.etcd.prefix': used(
    text,
    '',
    'Begins all keys in etcd, so that several datacenters can share one. Empty takes `isthmus/<datacenter>`.',
  ),
  'storage.etcd.compaction_interval': used(
    duration,
    300_000,
    "How often etcd's history is compacted; the last interval and the 10,000 newest revisions stay. 0 leaves it to " +
      'etcd.',
  ),
} as const;
