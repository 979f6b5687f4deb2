import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  type AgentProcess,
  callAgent,
  freePorts,
  isthmus,
  type SidecarProcess,
  startAgent,
  startSidecar,
  waitFor,
} from '../harness/index.ts';

// A machine whose node, applications and sidecars have only ::1; nothing names a family but the node's address.
let agent: AgentProcess;
let application: Server;
const sidecars: SidecarProcess[] = [];

beforeAll(async () => {
  application = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  }).listen(0, '::1');
  await once(application, 'listening');
  const { first, last } = await freePorts(3);
  const config = {
    bind_addr: '::1',
    client_addr: '::1',
    ports: { sidecar_min_port: first, sidecar_max_port: last - 1 },
  };
  agent = await startAgent({ name: 'six', datacenter: 'dc1', config });
  const upstreams = [{ destination_name: 'db', local_bind_port: last }];
  await callAgent(agent, 'PUT', '/v1/agent/service/register', {
    Name: 'db',
    Port: (application.address() as AddressInfo).port,
    Connect: { SidecarService: {} },
  });
  await callAgent(agent, 'PUT', '/v1/agent/service/register', {
    Name: 'web',
    Connect: { SidecarService: { Proxy: { Upstreams: upstreams } } },
  });
  for (const sidecarFor of ['db', 'web']) sidecars.push(await startSidecar({ agent, sidecarFor }));
}, 60_000);

afterAll(async () => {
  for (const sidecar of sidecars) await sidecar.stop();
  await agent?.stop();
  application?.close();
});

it('a mesh on ::1 alone: sidecars listen, are found healthy and are reached there', async () => {
  const [db, web] = sidecars.map(({ ready }) => ready);
  expect(db?.listen).toMatch(/^\[::\]:\d+$/);
  const upstream = web?.upstreams.db ?? '';
  expect(upstream).toMatch(/^\[::1\]:\d+$/);
  await waitFor(
    async () => {
      const healthy = await callAgent<readonly unknown[]>(agent, 'GET', '/v1/health/connect/db?passing');
      return healthy.length === 1;
    },
    { what: 'the sidecar to be healthy' },
  );
  const checks = await callAgent<Record<string, { Output: string }>>(agent, 'GET', '/v1/agent/checks');
  expect(checks['service:db-sidecar-proxy:1']?.Output).toMatch(/^TCP connect \[::1\]:\d+: Success$/);

  const socket = connect({ host: '::1', port: Number(upstream.split(':').at(-1)) });
  socket.write('over six');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  expect(answer.toString()).toBe('over six');
  socket.destroy();
});

it('the command line reaches the agent by its IPv6 address and shows members by it', async () => {
  const { code, out } = await isthmus(['members', '-http-addr', agent.ready.http]);
  expect(code).toBe(0);
  expect(out).toMatch(/^six +\[::1\]:\d+ +alive +server/m);
});
