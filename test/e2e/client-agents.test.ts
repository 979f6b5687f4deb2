import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HealthCheck, ServiceInstance } from '../../src/model/catalog.ts';
import type { Member } from '../../src/model/member.ts';
import {
  type AgentProcess,
  ask,
  type Bed,
  callAgent,
  type EchoApplication,
  freePorts,
  LongLived,
  type MeshService,
  startAgent,
  startBed,
  startEcho,
  waitFor,
} from '../harness/index.ts';

/** Two datacenters; in dc1 a server and two client agents, which run the services. */

const NODE_TIMEOUT_MS = 3_000;
const TIMES = { node_timeout: `${NODE_TIMEOUT_MS}ms`, reconnect_timeout: '4s' };
const ALIVE = 1;
const LEFT = 3;

let bed: Bed;
let c1: AgentProcess;
let c2: AgentProcess;
let web: MeshService;
let api: MeshService;
const echoes: EchoApplication[] = [];

async function client(name: string): Promise<AgentProcess> {
  const { first, last } = await freePorts(10);
  return startAgent({
    name,
    datacenter: 'dc1',
    config: {
      server: false,
      ports: { sidecar_min_port: first, sidecar_max_port: last },
      retry_join: [bed.dc1.ready.serf_lan],
      leave_on_terminate: false,
      primary_datacenter: 'dc1',
    },
  });
}

async function echo(name: string): Promise<EchoApplication> {
  const application = await startEcho(name);
  echoes.push(application);
  return application;
}

const serfHealth = async (node: string): Promise<HealthCheck | undefined> =>
  (await callAgent<readonly HealthCheck[]>(bed.dc1, 'GET', `/v1/health/node/${node}`)).find(
    ({ CheckID }) => CheckID === 'serfHealth',
  );

const statuses = async (agent: AgentProcess): Promise<Record<string, number>> =>
  Object.fromEntries(
    (await callAgent<readonly Member[]>(agent, 'GET', '/v1/agent/members')).map(({ Name, Status }) => [Name, Status]),
  );

/** Not synchronous: the network between the datacenters runs in this process. */
async function dig(agent: AgentProcess, name: string): Promise<string> {
  const [host = '', port = ''] = (agent.ready.dns ?? '').split(':');
  const { stdout } = await promisify(execFile)('dig', ['+short', `@${host}`, '-p', port, name, 'A']);
  return stdout;
}

beforeAll(async () => {
  bed = await startBed({ config: TIMES });
  [c1, c2] = await Promise.all([client('c1'), client('c2')]);
  const [db, other] = [await echo('db'), await echo('api')];
  await bed.mesh(bed.dc2, 'db', { port: db.port });
  api = await bed.mesh(c2, 'api', { port: other.port });
  web = await bed.mesh(c1, 'web', { upstream: { name: 'db', datacenter: 'dc2' } });
}, 60_000);

afterAll(async () => {
  await bed?.stop();
  await Promise.all([c1?.stop(), c2?.stop(), ...echoes.map((each) => each.close())]);
});

/** A program that prints an address, as `exec=` runs it. */
function printing(address: string | undefined): string {
  return `exec=${process.execPath} -e 'console.log("${address}")'`;
}

describe('client agents', () => {
  it('are members, and their services are found from everywhere', async () => {
    expect(await statuses(bed.dc1)).toEqual({ 'dc1-s1': ALIVE, c1: ALIVE, c2: ALIVE });
    expect(await statuses(c1)).toEqual(await statuses(bed.dc1));
    const far = await waitFor(
      async () => {
        const found = await callAgent<readonly ServiceInstance[]>(bed.dc2, 'GET', '/v1/health/service/api?dc=dc1');
        return found.length > 0 && found;
      },
      { what: 'the service of a client agent in the other datacenter' },
    );
    expect(far.map(({ Node, Service }) => [Node.Node, Service.ID])).toEqual([['c2', 'api']]);
  });

  it('answer HTTP and DNS as the server does', async () => {
    await waitFor(async () => (await serfHealth('c1')) && c1.http('GET', '/v1/catalog/service/web'), { what: 'web' });
    for (const path of [
      '/v1/catalog/nodes',
      '/v1/catalog/services',
      '/v1/catalog/service/web',
      '/v1/catalog/datacenters',
      '/v1/health/service/api?passing',
      '/v1/health/service/db?dc=dc2',
      '/v1/status/leader',
      '/v1/connect/ca/roots',
      '/v1/connect/intentions/check?source=web&destination=db',
      '/v1/health/service/%20?filter=nonsense',
    ]) {
      const [ours, theirs] = [await c1.http('GET', path), await bed.dc1.http('GET', path)];
      expect([ours.status, ours.body], path).toEqual([theirs.status, theirs.body]);
      expect(ours.headers['x-consul-index'], path).toBe(theirs.headers['x-consul-index']);
    }
    for (const name of ['api.service.consul', 'c2.node.consul', 'db.service.dc2.consul', 'nobody.service.consul']) {
      const [ours, theirs] = [await dig(c1, name), await dig(bed.dc1, name)];
      expect(ours, name).toBe(theirs);
      expect(ours === '', name).toBe(name.startsWith('nobody'));
    }
  });

  it('carry connections to services of other nodes and of other datacenters', async () => {
    expect(await waitFor(() => ask(web.upstreamPort, 'hello'), { what: 'the way from web to db' })).toContain('hello');
    expect(api.port).toBeGreaterThan(0);
  });

  it('keep their sessions over a restart of the server: nothing turns critical, no connection drops', async () => {
    const open = await LongLived.open(web.upstreamPort);
    const before = [await serfHealth('c1'), await serfHealth('c2')];
    await bed.dc1.restart();
    await waitFor(async () => (await c1.http('GET', '/v1/catalog/nodes')).status === 200, { what: 'answers again' });
    await waitFor(async () => Object.keys(await statuses(bed.dc1)).length === 3, { what: 'the members' });
    // The row of a check tells when it changed last: it is the one from before the restart.
    expect([await serfHealth('c1'), await serfHealth('c2')]).toEqual(before);
    expect(open.closed).toBe(false);
    await open.ask();
    open.close();
  });

  it('go on with what they know while no server is there, and say how old it is', async () => {
    const path = '/v1/health/service/api?cached';
    const first = await c1.http('GET', path);
    expect(first.headers['x-cache']).toBe('MISS');
    expect((await c1.http('GET', path)).headers).toMatchObject({ 'x-cache': 'HIT', age: '0' });
    const leaf = await c1.http('GET', '/v1/agent/connect/ca/leaf/web');
    expect(await dig(c1, 'api.service.consul')).not.toBe('');
    await bed.dc1.stop();
    await waitFor(async () => Number((await c1.http('GET', path)).headers.age) >= 1, { what: 'an answer that ages' });
    expect((await c1.http('GET', path)).body).toBe(first.body);
    expect((await c1.http('GET', '/v1/agent/connect/ca/leaf/web')).body).toBe(leaf.body);
    expect((await c1.http('GET', '/v1/agent/connect/ca/roots')).status).toBe(200);
    expect(await dig(c1, 'api.service.consul')).not.toBe('');
    expect(await ask(web.upstreamPort, 'no server')).toContain('no server');
    expect((await c1.http('GET', '/v1/agent/services')).status).toBe(200);
    const refused = await c1.http('GET', '/v1/catalog/nodes');
    expect([refused.status, refused.body]).toEqual([503, expect.stringContaining('No server of dc1 is reached')]);
    await bed.dc1.restart();
    await waitFor(async () => (await c1.http('GET', path)).headers.age === '0', { what: 'a fresh answer' });
  });

  it('find their servers after a restart although the address that they joined by is gone', async () => {
    expect(JSON.parse(readFileSync(join(c2.dataDir, 'servers.json'), 'utf8'))).toEqual([
      expect.objectContaining({ node: 'dc1-s1', address: bed.dc1.ready.server }),
    ]);
    await c2.restart({ retry_join: ['127.0.0.1:1'] });
    expect((await c2.http('GET', '/v1/catalog/nodes')).status).toBe(200);
    expect(Object.keys(await callAgent<object>(c2, 'GET', '/v1/agent/services'))).toContain('api');
  });

  it('turn critical in time when they are lost, and are removed later', async () => {
    const lostAt = performance.now();
    await c2.kill9();
    await waitFor(async () => (await serfHealth('c2'))?.Status === 'critical', { what: 'the node turning critical' });
    const took = performance.now() - lostAt;
    expect(took).toBeGreaterThan(NODE_TIMEOUT_MS * 0.9);
    expect(took).toBeLessThan(NODE_TIMEOUT_MS * 3);
    expect(await callAgent(bed.dc1, 'GET', '/v1/health/service/api?passing')).toEqual([]);
    await waitFor(async () => (await statuses(bed.dc1)).c2 === undefined, { what: 'the removal' });
    expect(await callAgent(bed.dc1, 'GET', '/v1/catalog/node/c2')).toBeNull();
  });

  it('take their services with them when they leave', async () => {
    await callAgent(c1, 'PUT', '/v1/agent/leave');
    await c1.exited;
    expect((await statuses(bed.dc1)).c1).toBe(LEFT);
    expect(await callAgent(bed.dc1, 'GET', '/v1/catalog/node/c1')).toBeNull();
  });
});

describe('a client agent whose retry_join names a program', () => {
  it('finds its servers by it', async () => {
    const found = await startAgent({
      name: 'c-found',
      datacenter: 'dc1',
      config: { server: false, retry_join: [printing(bed.dc1.ready.serf_lan)], primary_datacenter: 'dc1' },
    });
    try {
      await waitFor(async () => (await statuses(bed.dc1))['c-found'] === ALIVE, { what: 'the member' });
      expect(found.log()).toContain('servers were found');
    } finally {
      await callAgent(found, 'PUT', '/v1/agent/leave');
      await found.stop();
    }
    await waitFor(async () => (await statuses(bed.dc1))['c-found'] !== ALIVE, { what: 'its leave' });
  });
});
