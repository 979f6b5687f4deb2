import type { Values } from './keys/table.ts';
import type { Reject } from './reject.ts';
import type { StorageConfig } from './types.ts';

/** Where the state is kept; refuses what can't work. */
export function buildStorage(values: Values, datacenter: string, reject: Reject): StorageConfig {
  const etcd = {
    endpoints: values['storage.etcd.endpoints'],
    caFile: values['storage.etcd.ca_file'],
    certFile: values['storage.etcd.cert_file'],
    keyFile: values['storage.etcd.key_file'],
    username: values['storage.etcd.username'],
    password: values['storage.etcd.password'],
    prefix: values['storage.etcd.prefix'] || `isthmus/${datacenter}`,
    compactionIntervalMs: values['storage.etcd.compaction_interval'],
  };
  if (values['storage.engine'] === 'etcd') {
    if (etcd.endpoints.length === 0)
      reject('storage.engine', '"storage.engine" is etcd: name "storage.etcd.endpoints"');
    if ((etcd.certFile === '') !== (etcd.keyFile === '')) {
      const missing = etcd.certFile === '' ? 'storage.etcd.cert_file' : 'storage.etcd.key_file';
      reject(
        etcd.certFile === '' ? 'storage.etcd.key_file' : 'storage.etcd.cert_file',
        `"storage.etcd.cert_file" and "storage.etcd.key_file" go together: "${missing}" is missing`,
      );
    }
    if (etcd.username === '' && etcd.password !== '') {
      reject('storage.etcd.password', '"storage.etcd.password" needs "storage.etcd.username"');
    }
  }
  return { engine: values['storage.engine'], etcd };
}
