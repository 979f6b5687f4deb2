import { afterEach, describe, expect, it } from 'vitest';
import { startTestEdge, type TestEdge } from '../../../test/fakes/http-edge.ts';
import { type Logger, noLog } from '../../telemetry/types.ts';
import { MAX_NAMED } from './passed-over.ts';
import { MAX_LOGGED, UnknownFieldLog } from './unknown-fields.ts';

const HEADER = 'x-isthmus-unknown-fields';
const open: TestEdge[] = [];

interface Line {
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

function lines(): { readonly log: Logger; readonly lines: Line[] } {
  const kept: Line[] = [];
  return { lines: kept, log: { ...noLog, warn: (message, fields) => void kept.push({ message, fields }) } };
}

async function start(log: Logger = noLog): Promise<TestEdge> {
  const edge = await startTestEdge({ log });
  open.push(edge);
  return edge;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((edge) => edge.stop()));
});

describe('fields of a body that are not known', () => {
  it('are passed over, named in a header with their paths, and logged once for each client', async () => {
    const { log, lines: logged } = lines();
    const edge = await start(log);
    const body = JSON.stringify({
      Node: 'n1',
      Address: '10.0.0.1',
      Future: 1,
      Service: { Service: 'web', Proxy: { Upstreams: [{ DestinationName: 'db', 'né,w\r\nX: y': 1 }] } },
    });
    const paths = 'Future,Service.Proxy.Upstreams.n%C3%A9%2Cw%0D%0AX%3A%20y';
    for (let times = 0; times < 2; times += 1) {
      const answer = await edge.send('PUT', '/v1/catalog/register', body);
      expect(answer).toMatchObject({ status: 200, body: 'true' });
      expect(answer.headers[HEADER]).toBe(paths);
    }
    expect(edge.contract.calls[0]?.args).toEqual({
      Node: 'n1',
      Address: '10.0.0.1',
      Service: { Service: 'web', Proxy: { Upstreams: [{ DestinationName: 'db' }] } },
    });
    expect(logged.map(({ fields }) => fields)).toEqual([
      { client: '127.0.0.1', endpoint: 'PUT /v1/catalog/register', fields: paths },
    ]);
  });

  it('leave no header when there are none', async () => {
    const edge = await start();
    const answer = await edge.send('PUT', '/v1/catalog/register', '{"node":"n1","ADDRESS":"10.0.0.1"}');
    expect(answer.status).toBe(200);
    expect(answer.headers).not.toHaveProperty(HEADER);
  });

  it('are refused and named where they could say who may do what', async () => {
    const edge = await start();
    for (const [method, path, body] of [
      ['PUT', '/v1/acl/token', { Local: true, Scope: 'narrow' }],
      ['PUT', '/v1/acl/token', { ServiceIdentities: [{ ServiceName: 'a', Scope: 'narrow' }] }],
      ['PUT', '/v1/acl/policy', { Name: 'p', Scope: 'narrow' }],
      ['PUT', '/v1/acl/role', { Name: 'r', Scope: 'narrow' }],
      ['POST', '/v1/connect/intentions', { SourceName: 'a', DestinationName: 'b', Action: 'allow', Scope: 'narrow' }],
      ['PUT', '/v1/connect/intentions/exact?source=a&destination=b', { Action: 'allow', Scope: 'narrow' }],
      ['PUT', '/v1/connect/ca/configuration', { Provider: 'consul', Scope: 'narrow' }],
      ['POST', '/v1/agent/connect/authorize', { Target: 'a', Scope: 'narrow' }],
      ['PUT', '/v1/operator/federation/invitation', { Kind: 'agent', Scope: 'narrow' }],
    ] as const) {
      const answer = await edge.send(method, path, JSON.stringify(body));
      expect(answer, path).toMatchObject({ status: 400, body: expect.stringContaining('json: unknown field "Scope"') });
    }
    expect(edge.contract.calls).toEqual([]);
  });

  it('are refused where they name another tenancy, and taken where they name the only one', async () => {
    const edge = await start();
    const register = (service: object) =>
      edge.send('PUT', '/v1/catalog/register', JSON.stringify({ Node: 'n', Address: 'a', Service: service }));
    const fine = { Service: 'web', PeerName: '', Partition: 'default', Namespace: 'default' };
    const answer = await register(fine);
    expect(answer.status).toBe(200);
    expect(answer.headers).not.toHaveProperty(HEADER);
    for (const [field, value] of Object.entries({ PeerName: 'east', Partition: 'p1', Namespace: 'team' })) {
      const refused = await register({ Service: 'web', [field]: value });
      expect(refused).toMatchObject({ status: 400, body: expect.stringContaining(field) });
    }
  });

  it('are bounded: in one answer, and in what is remembered of a client', async () => {
    const { log, lines: logged } = lines();
    const edge = await start(log);
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`${'x'.repeat(200)}${at}`, 1]));
    const distinct = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`f${at}`, 1]));
    const long = await edge.send('PUT', '/v1/catalog/deregister', JSON.stringify({ Node: 'n', ...many }));
    expect(long).toMatchObject({ status: 200 });
    expect(long.headers[HEADER]).toBe('x'.repeat(128));
    const answer = await edge.send('PUT', '/v1/catalog/deregister', JSON.stringify({ Node: 'n', ...distinct }));
    expect(answer.headers[HEADER]?.split(',')).toHaveLength(MAX_NAMED);
    expect(logged).toHaveLength(2);

    const flood = lines();
    const bounded = new UnknownFieldLog(flood.log);
    for (let at = 0; at < 10 * MAX_LOGGED; at += 1) bounded.report('10.0.0.1', 'PUT /v1/x', [`f${at}`]);
    expect(flood.lines).toHaveLength(MAX_LOGGED);
    expect(flood.lines.at(-1)?.fields).toHaveProperty('more');
  });
});
