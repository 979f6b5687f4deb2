import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { createConnect } from './connect.ts';

/** An agent that answers every request with one status and text. */
let agent: Server | undefined;
afterEach(() => {
  agent?.closeAllConnections();
  agent?.close();
  agent = undefined;
});

async function agentThatSays(status: number, text: string): Promise<string> {
  const server = createServer((_request, response) => response.writeHead(status).end(text));
  agent = server;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it('start rejects at once when the agent refuses, and says which right the token needs', async () => {
  const address = await agentThatSays(403, 'Permission denied');
  const connect = createConnect({ service: 'web', agent: { address } });
  await expect(connect.start()).rejects.toMatchObject({
    code: 'permission_denied',
    message: expect.stringContaining('its token needs service:write on web'),
  });
});

it('start gives up when no agent answers in time, and says what to look at', async () => {
  const address = await agentThatSays(500, 'no');
  agent?.close();
  agent?.closeAllConnections();
  const problems: string[] = [];
  const connect = createConnect({
    service: 'web',
    agent: { address },
    startTimeoutMs: 50,
    onProblem: ({ what }) => problems.push(what),
  });
  await expect(connect.start()).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringMatching(/^the first certificate of web .*connection refused; see that an agent runs there/),
  });
  expect(new Set(problems)).toEqual(new Set(['roots', 'certificate']));
});

it('nothing is given out before the first certificate', () => {
  const connect = createConnect({ service: 'web' });
  expect(() => connect.serverOptions()).toThrow('web has no certificate yet: await start() first');
  expect(() => connect.clientOptions({ service: 'db' })).toThrow('await start() first');
  expect(connect.certificateExpires).toBe(0);
});

it('an upstream is either a service or a query, and a query says by itself where it looks', async () => {
  const connect = createConnect({ service: 'web' });
  expect(() => connect.upstream({})).toThrow('names either a service or a query');
  expect(() => connect.upstream({ service: 'db', query: 'db' })).toThrow('names either a service or a query');
  expect(() => connect.upstream({ query: 'db', datacenter: 'dc2' })).toThrow('leave out datacenter');
  expect(() => createConnect({ service: '' })).toThrow('needs the name of the service');
  await connect.stop();
});

it('the same options give the same upstream; its failures name it and what is wrong', async () => {
  const address = await agentThatSays(403, 'Permission denied');
  const connect = createConnect({ service: 'web', agent: { address } });
  const upstream = connect.upstream({ service: 'db', datacenter: 'dc2' });
  expect(connect.upstream({ datacenter: 'dc2', service: 'db' })).toBe(upstream);
  await expect(upstream.dial()).rejects.toMatchObject({
    code: 'permission_denied',
    message: expect.stringMatching(/^service db in dc2: .*its instances can't be followed: .*Permission denied/),
  });
  await connect.stop();
  await expect(upstream.dial()).rejects.toMatchObject({ code: 'cancelled' });
});
