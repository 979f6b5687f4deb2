/** The catalog that the recorded commands were run on (golden/README.md). */
export const REGISTRATIONS: readonly { readonly dc: 'dc1' | 'dc2'; readonly body: object }[] = [
  node('dc1', 'n1', '10.0.0.1', '198.51.100.1', { ID: 'db-1', Service: 'db', Port: 5432, Tags: ['primary'] }),
  node('dc1', 'n1', '10.0.0.1', '198.51.100.1', {
    Kind: 'connect-proxy',
    ID: 'db-1-proxy',
    Service: 'db-sidecar-proxy',
    Port: 21000,
    Proxy: { DestinationServiceName: 'db', DestinationServiceID: 'db-1' },
  }),
  node('dc1', 'n2', '10.0.0.2', '198.51.100.2', { ID: 'db-2', Service: 'db', Port: 5433, Address: '10.9.9.9' }),
  node('dc2', 'm1', '10.1.0.1', '203.0.113.1', { ID: 'db-9', Service: 'db', Port: 5432 }),
  node('dc2', 'm2', '10.1.0.2', '203.0.113.2', { ID: 'cache-1', Service: 'cache', Port: 6379 }),
];

/** Files that the recorded commands name, in the folder that the recordings call DIR. */
export const FILES: Readonly<Record<string, object>> = {
  'svc.json': { service: { name: 'web', port: 8080 } },
  'sd.json': { Kind: 'service-defaults', Name: 'web', Protocol: 'http' },
};

function node(
  dc: 'dc1' | 'dc2',
  name: string,
  lan: string,
  wan: string,
  service: object,
): { readonly dc: 'dc1' | 'dc2'; readonly body: object } {
  const body = { Node: name, Address: lan, TaggedAddresses: { lan, wan }, NodeMeta: { rack: 'a' }, Service: service };
  return { dc, body };
}
