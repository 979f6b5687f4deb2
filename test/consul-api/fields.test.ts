import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LocalState } from '../../src/agent/local/types.ts';
import { agentCheckRoutes } from '../../src/edge/http/routes/agent-checks.ts';
import { agentServiceRoutes } from '../../src/edge/http/routes/agent-services.ts';
import { decodeEntry } from '../../src/model/entries/registry.ts';
import { startTestEdge, type TestEdge } from '../fakes/http-edge.ts';

/**
 * Every field that Consul's Go client can send is known here, but for those of a table that says why.
 * `fields.json` is what test/clients/go/fields prints.
 */

type Shapes = Readonly<Record<string, Readonly<Record<string, string>>>>;

const SHAPES = JSON.parse(readFileSync(new URL('fields.json', import.meta.url), 'utf8')) as Shapes;

/** An object of a type with all of its fields, down to those that hold no other type: these are null. */
function sample(type: string): Record<string, unknown> {
  const fields = SHAPES[type];
  if (fields === undefined) throw new Error(`no shape of ${type}`);
  return Object.fromEntries(Object.entries(fields).map(([name, held]) => [name, filled(held)]));
}

function filled(held: string): unknown {
  if (held === '') return null;
  if (held.startsWith('[]')) return [filled(held.slice(2))];
  if (held.startsWith('map ')) return { a: filled(held.slice(4)) };
  if (RECURSIVE.has(held)) return null;
  return sample(held);
}

/** A sidecar's registration is a service's; it is looked at once. */
const RECURSIVE = new Set(['AgentServiceConnect']);

const AI = 'AI'; // agents, models and tools as services: of an edition after 1.22
const BODIES: readonly (readonly [type: string, method: string, path: string, unknown: readonly string[]])[] = [
  ['AgentServiceRegistration', 'PUT', '/v1/agent/service/register', [AI]],
  ['AgentCheckRegistration', 'PUT', '/v1/agent/check/register', []],
  ['CatalogRegistration', 'PUT', '/v1/catalog/register', [`Service.${AI}`]],
  ['CatalogDeregistration', 'PUT', '/v1/catalog/deregister', []],
  ['PreparedQueryDefinition', 'POST', '/v1/query', []],
  ['ACLToken', 'PUT', '/v1/acl/token', ['Name']],
  ['ACLPolicy', 'PUT', '/v1/acl/policy', []],
  ['ACLRole', 'PUT', '/v1/acl/role', []],
  ['Intention', 'PUT', '/v1/connect/intentions/exact?source=a&destination=b', []],
  ['CAConfig', 'PUT', '/v1/connect/ca/configuration', []],
  ['CoordinateEntry', 'PUT', '/v1/coordinate/update', []],
];

const ENTRIES: readonly (readonly [type: string, kind: string])[] = [
  ['ServiceConfigEntry', 'service-defaults'],
  ['ProxyConfigEntry', 'proxy-defaults'],
  ['ServiceResolverConfigEntry', 'service-resolver'],
  ['ServiceRouterConfigEntry', 'service-router'],
  ['ServiceSplitterConfigEntry', 'service-splitter'],
  ['ServiceIntentionsConfigEntry', 'service-intentions'],
  ['MeshConfigEntry', 'mesh'],
  ['JWTProviderConfigEntry', 'jwt-provider'],
];

/** Of an entry; each says in its refusal why. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  'jwt-provider': ['JSONWebKeySet.Remote.JWKSCluster.TLSCertificates.CaCertificateProviderInstance'],
};

describe('the fields that the Go client sends', () => {
  let edge: TestEdge;
  const local = { registerService: async () => undefined, registerCheck: async () => undefined };
  beforeAll(async () => {
    const deps = { local: local as unknown as LocalState, datacenter: 'dc1' };
    edge = await startTestEdge({ routes: [...agentServiceRoutes(deps), ...agentCheckRoutes(deps)] });
    edge.contract.onWrite = () => ({ value: true }) as never;
  });
  afterAll(() => edge.stop());

  it.each(BODIES)('%s', async (type, method, path, unknown) => {
    const answer = await edge.send(method, path, JSON.stringify(sample(type)));
    expect(answer).toMatchObject({ status: 200 });
    const named = answer.headers['x-isthmus-unknown-fields'] ?? '';
    expect(named === '' ? [] : named.split(',').sort()).toEqual([...unknown].sort());
  });

  it.each(ENTRIES)('%s', (type, kind) => {
    const refused = ((): string => {
      try {
        decodeEntry({ ...sample(type), Kind: kind, Name: 'a' });
        return '';
      } catch (error) {
        return (error as Error).message;
      }
    })();
    const named = [...refused.matchAll(/invalid config key "([^"]+)"/g)].map(([, path]) => path);
    expect(named).toEqual(REFUSED[kind] ?? []);
  });
});
