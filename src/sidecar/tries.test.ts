import { createServer as createTcp } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ask, HTTP, httpApp, requestsTo, route } from '../../test/fakes/http-bench.ts';
import { DB, listening, SidecarBench } from '../../test/fakes/sidecar-bench.ts';
import type { Balancer, Retries } from '../model/layer7/route-table.ts';
import type { SidecarRequests } from '../model/sidecar.ts';

let bench: SidecarBench;
beforeEach(() => {
  bench = new SidecarBench();
});
afterEach(() => bench.close());

async function web(requests: SidecarRequests, upstream: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const running = await bench.web([], { parts: { requests: { [DB.key]: requests }, endpoints: {} }, upstream });
  return running.address;
}

/**
 * Answers with each status in turn, the last one for ever; 0 resets the connection. Returns the sidecar and what it was
 * asked.
 */
async function answering(...statuses: readonly number[]): Promise<{ address: string; asked: string[] }> {
  const asked: string[] = [];
  const port = await httpApp(bench, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const status = statuses[Math.min(asked.length, statuses.length - 1)] as number;
      asked.push(`${request.method} ${Buffer.concat(chunks).length}`);
      if (status === 0) request.socket.destroy();
      else response.writeHead(status).end(String(status));
    });
  });
  return { address: (await bench.db(port, { parts: { inbound: HTTP } })).address, asked };
}

function retrying(on: readonly string[], more: Partial<Retries> = {}): ReturnType<typeof route> {
  return route({ retries: { count: 2, on, statusCodes: [], ...more } });
}

/** An address where no one listens. */
async function nowhere(): Promise<string> {
  const server = createTcp();
  const port = await listening(server);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return `127.0.0.1:${port}`;
}

describe('a request', () => {
  it('is sent again after an answer that its route names, and as often as it says', async () => {
    const one = await answering(503, 503, 200);
    const address = await web(requestsTo({ db: [one.address] }, { routes: [retrying(['5xx'])] }));
    expect(await ask(address, '/', { method: 'POST', body: 'hello' })).toMatchObject({ status: 200 });
    expect(one.asked).toEqual(['POST 5', 'POST 5', 'POST 5']);
    const two = await answering(503);
    const other = await web(requestsTo({ db: [two.address] }, { routes: [retrying(['gateway-error'])] }));
    expect(await ask(other)).toMatchObject({ status: 503, body: '503' });
    expect(two.asked).toHaveLength(3);
  });

  it('is not sent again without a route that says so, nor when its body was too long to keep', async () => {
    const one = await answering(503, 200);
    expect(await ask(await web(requestsTo({ db: [one.address] })))).toMatchObject({ status: 503 });
    expect(one.asked).toHaveLength(1);
    const two = await answering(503, 200);
    const address = await web(requestsTo({ db: [two.address] }, { routes: [retrying(['5xx'])] }));
    expect(await ask(address, '/', { method: 'POST', body: 'x'.repeat(100_000) })).toMatchObject({ status: 503 });
    expect(two.asked).toEqual(['POST 100000']);
  });

  it('whose connection breaks is sent again by condition', async () => {
    const one = await answering(0, 200);
    const address = await web(requestsTo({ db: [one.address] }, { routes: [retrying(['reset', '5xx'])] }));
    expect(await ask(address, '/', { method: 'POST', body: 'x' })).toMatchObject({ status: 200 });
    const two = await answering(418, 200);
    const codes = retrying(['retriable-status-codes'], { statusCodes: [418] });
    expect(await ask(await web(requestsTo({ db: [two.address] }, { routes: [codes] })))).toMatchObject({ status: 200 });
    const three = await answering(0, 200);
    const answer = await ask(await web(requestsTo({ db: [three.address] })), '/', { method: 'POST', body: 'x' });
    expect(answer.status).toBe(503);
    expect(answer.body).toContain('upstream connect error or disconnect/reset before headers');
  });

  it('goes to another instance and another target when one is away, without a route that says so', async () => {
    const one = await answering(200);
    const spare = await web(
      requestsTo(
        { db: [await nowhere(), await nowhere()], spare: [one.address] },
        { destinations: { db: { targets: ['db', 'spare'] } } },
      ),
    );
    for (let n = 0; n < 5; n += 1)
      expect(await ask(spare, '/', { method: 'POST', body: 'x' })).toMatchObject({ status: 200 });
    const none = await web(requestsTo({ db: [await nowhere()] }));
    expect(await ask(none)).toMatchObject({ status: 503 });
    expect(await ask(await web(requestsTo({ db: [] })))).toMatchObject({ status: 503, body: 'no healthy upstream' });
  });

  it('ends when its time is up, before an answer and in the midst of one', async () => {
    const port = await httpApp(bench, (request, response) => {
      if (request.url === '/begun') response.write('x');
    });
    const { address: at } = await bench.db(port, { parts: { inbound: HTTP } });
    const slow = await web(requestsTo({ db: [at] }, { routes: [route({ requestTimeoutMs: 100 })] }));
    expect(await ask(slow)).toMatchObject({ status: 504, body: 'upstream request timeout' });
    await expect(ask(slow, '/begun')).rejects.toThrow();
    const idle = await web(requestsTo({ db: [at] }, { routes: [route({ requestTimeoutMs: 0, idleTimeoutMs: 50 })] }));
    expect(await ask(idle)).toMatchObject({ status: 504, body: 'stream timeout' });
    await expect(ask(idle, '/begun')).rejects.toThrow();
  });

  it('is refused above the limit of its upstream', async () => {
    const waiting: (() => void)[] = [];
    const port = await httpApp(bench, (_request, response) => void waiting.push(() => response.end('done')));
    const { address: at } = await bench.db(port, { parts: { inbound: HTTP } });
    const address = await web(requestsTo({ db: [at] }), { limits: { max_concurrent_requests: 2 } });
    const two = [ask(address), ask(address)];
    await expect.poll(() => waiting.length).toBe(2);
    expect(await ask(address)).toMatchObject({ status: 503, headers: { 'x-envoy-overloaded': 'true' } });
    for (const answer of waiting) answer();
    expect((await Promise.all(two)).map(({ status }) => status)).toEqual([200, 200]);
  });
});

describe('a policy of balancing', () => {
  const spread = async (balancer: Balancer, headers: (n: number) => Record<string, string> = () => ({})) => {
    const all = await Promise.all([answering(200), answering(200), answering(200)]);
    const hashPolicies = [{ type: 'header', name: 'x-user' }] as const;
    const requests = requestsTo(
      { db: all.map(({ address }) => address) },
      { routes: [route({ hashPolicies })], destinations: { db: { balancer } } },
    );
    const address = await web(requests);
    for (let n = 0; n < 60; n += 1) await ask(address, '/', { headers: headers(n) });
    return all.map(({ asked }) => asked.length);
  };

  it('takes turns', async () => {
    expect(await spread({ policy: 'round_robin' })).toEqual([20, 20, 20]);
  });

  it.each([
    [{ policy: 'random' }],
    [{ policy: 'least_request', choices: 2 }],
    [{ policy: 'ring_hash' }],
    [{ policy: 'maglev' }],
  ] as const)('spreads by chance: $policy', async (balancer) => {
    const counts = await spread(balancer);
    expect(counts.reduce((sum, n) => sum + n)).toBe(60);
    for (const count of counts) expect(count).toBeGreaterThan(3);
  });

  it.each([[{ policy: 'ring_hash' }], [{ policy: 'maglev' }]] as const)(
    'keeps a user where it was: $policy',
    async (balancer) => {
      expect((await spread(balancer, () => ({ 'x-user': 'ann' }))).sort()).toEqual([0, 0, 60]);
      const counts = await spread(balancer, (n) => ({ 'x-user': `user ${n}` }));
      for (const count of counts) expect(count).toBeGreaterThan(3);
    },
  );
});
