import type { ConnectProxySnapshot } from '../../src/agent/proxycfg/snapshot.ts';
import { compileMesh } from '../../src/model/layer7/mesh-settings.ts';
import { makeRoots, TRUST_DOMAIN } from './ca-roots.ts';

/** The snapshot of web's sidecar, which listens at 127.0.0.1:21000 and has no upstream; certificates are only names. */
export function proxySnapshot(changes: Partial<ConnectProxySnapshot> = {}): ConnectProxySnapshot {
  return {
    kind: 'connect-proxy',
    proxyId: 'web-1-sidecar-proxy',
    service: 'web',
    datacenter: 'dc1',
    node: 'n0',
    roots: makeRoots('r1'),
    leaf: {
      SerialNumber: '01',
      CertPEM: 'cert 01',
      PrivateKeyPEM: 'key 01',
      Service: 'web',
      ServiceURI: `spiffe://${TRUST_DOMAIN}/ns/default/dc/dc1/svc/web`,
      ValidAfter: '2026-01-01T00:00:00Z',
      ValidBefore: '2026-01-04T00:00:00Z',
      CreateIndex: 1,
      ModifyIndex: 1,
    },
    config: {
      proxyId: 'web-1-sidecar-proxy',
      service: 'web',
      datacenter: 'dc1',
      node: 'n0',
      listen: { address: '127.0.0.1', port: 21_000 },
      local: { address: '127.0.0.1', port: 8_080 },
      upstreams: [],
      config: {},
    },
    protocol: 'tcp',
    entries: { mesh: compileMesh() },
    verdicts: { destination: 'web', destinationDatacenter: 'dc1', rules: [], defaultAction: 'allow', revision: 0 },
    upstreams: new Map(),
    refused: new Map(),
    ...changes,
  };
}
