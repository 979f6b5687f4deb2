import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/fakes/fake-clock.ts';
import { startTestEdge, type TestEdge } from '../../../../test/fakes/http-edge.ts';
import { proxySnapshot } from '../../../../test/fakes/proxy-snapshot.ts';
import type { ProxyRequest } from '../../../agent/proxycfg/request.ts';
import type { ProxySnapshot } from '../../../agent/proxycfg/snapshot.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { AsyncQueue } from '../../../lib/queue.ts';
import type { AgentParts } from '../agent-parts.ts';

let edge: TestEdge | undefined;

afterEach(async () => {
  await edge?.stop();
});

describe('agent endpoints', () => {
  it('answer a leaf with index, cache and age, and wait by index', async () => {
    const asked: unknown[] = [];
    edge = await startTestEdge({
      agent: {
        leaves: {
          async get(service, { index, waitMs, token }) {
            asked.push({ service, index, waitMs, token });
            const cacheHit = asked.length > 1;
            return { value: { Service: service } as never, index: 26, cacheHit, ageMs: 1_900 };
          },
        },
      },
    });
    const miss = await edge.get('/v1/agent/connect/ca/leaf/web');
    expect(miss.headers).toMatchObject({ 'x-cache': 'MISS', 'x-consul-index': '26' });
    expect(miss.headers).not.toHaveProperty('age');
    expect(miss.headers).not.toHaveProperty('x-consul-knownleader');
    const hit = await edge.get('/v1/agent/connect/ca/leaf/web?index=26&wait=5s&token=t');
    expect(hit.headers).toMatchObject({ 'x-cache': 'HIT', age: '1' });
    expect(asked[1]).toEqual({ service: 'web', index: 26, waitMs: 5_000, token: 't' });
    const nameless = await edge.get('/v1/agent/connect/ca/leaf/');
    expect(nameless).toMatchObject({ status: 500, body: 'URI must be either service or agent' });
  });

  it('pass on actions, empty answers, and their failures', async () => {
    const done: string[] = [];
    edge = await startTestEdge({
      agent: {
        async reload() {
          done.push('reload');
          return ['bind_addr'];
        },
        async join(address, { wan }) {
          done.push(`join ${address} ${wan}`);
        },
        async forceLeave(node) {
          throw new IsthmusError('rejected', `agent: No node found with name '${node}'`);
        },
        async members({ wan, segment }) {
          done.push(`members ${wan} ${segment}`);
          return [];
        },
        async authorize(request) {
          return { value: { Authorized: true, Reason: request.Target }, index: 1, cacheHit: true, ageMs: 0 };
        },
        metrics: {
          json: async () => ({ Gauges: [] }),
          prometheus: async () => ({ contentType: 'text/plain; version=0.0.4', text: 'up 1\n' }),
        },
      },
    });
    const reload = await edge.send('PUT', '/v1/agent/reload');
    expect(reload).toMatchObject({ status: 200, body: '' });
    expect(reload.headers).not.toHaveProperty('content-type');
    expect(reload.headers).toHaveProperty('x-isthmus-needs-restart', 'bind_addr');
    expect((await edge.send('PUT', '/v1/agent/join/127.0.0.1:1?wan=1')).status).toBe(200);
    expect(await edge.send('PUT', '/v1/agent/force-leave/absent')).toMatchObject({
      status: 500,
      body: "agent: No node found with name 'absent'",
    });
    expect((await edge.get('/v1/agent/members?wan=1&segment=_all')).body).toBe('[]');
    expect(done).toEqual(['reload', 'join 127.0.0.1:1 true', 'members true _all']);
    const authorized = await edge.send('POST', '/v1/agent/connect/authorize', '{"Target":"db"}');
    expect(authorized).toMatchObject({ status: 200, body: '{"Authorized":true,"Reason":"db"}' });
    expect(authorized.headers).toMatchObject({ 'x-cache': 'HIT', age: '0' });
    expect(authorized.headers).not.toHaveProperty('x-consul-index');
    expect((await edge.get('/v1/agent/metrics')).body).toBe('{"Gauges":[]}');
    const text = await edge.get('/v1/agent/metrics?format=prometheus');
    expect(text.headers['content-type']).toBe('text/plain; version=0.0.4');
  });
});

describe('the stream of a sidecar', () => {
  it('starts with the session, sends updates and heartbeats, and takes acknowledgements', async () => {
    const clock = new FakeClock();
    const snapshots = new AsyncQueue<ProxySnapshot>();
    const opened: ProxyRequest[] = [];
    const acknowledged: (readonly string[])[] = [];
    let ended: AbortSignal | undefined;
    edge = await startTestEdge({
      clock,
      heartbeatMs: 1_000,
      agent: {
        proxies: {
          async open(request, signal) {
            opened.push(request);
            ended = signal;
            snapshots.endOn(signal);
            return { proxyId: 'p', snapshots, serves: () => undefined, holds: (ids) => acknowledged.push(ids) };
          },
        },
      } satisfies Partial<AgentParts>,
    });
    const abort = new AbortController();
    const answer = await fetch(
      `http://127.0.0.1:${edge.port}/v1/internal/sidecar?service=web&upstream=db.dc2:1&upstream=c:2&instance=i`,
      {
        signal: abort.signal,
      },
    );
    expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
    const lines = linesOf(answer);
    const { session } = JSON.parse((await lines.next()).value as string) as { session: string };
    expect(opened).toEqual([{ kind: 'standalone', service: 'web', upstreams: ['db.dc2:1', 'c:2'], instance: 'i' }]);
    snapshots.push(proxySnapshot());
    expect(JSON.parse((await lines.next()).value as string)).toMatchObject({
      version: 1,
      roots: { activeRootId: 'r1' },
    });
    await clock.waitArmed();
    await clock.advance(1_000);
    expect((await lines.next()).value).toBe('{}');
    expect((await edge.send('PUT', `/v1/internal/sidecar/${session}/ack?version=1`)).status).toBe(200);
    expect((await edge.send('PUT', `/v1/internal/sidecar/${session}/ack?version=x`)).status).toBe(400);
    expect(acknowledged).toEqual([['r1']]);
    abort.abort();
    await expect.poll(() => ended?.aborted).toBe(true);
    await expect
      .poll(async () => (await edge?.send('PUT', `/v1/internal/sidecar/${session}/ack?version=1`))?.status)
      .toBe(404);
  });

  it('ends when the edge stops, and refuses what names no proxy', async () => {
    const snapshots = new AsyncQueue<ProxySnapshot>();
    edge = await startTestEdge({
      agent: {
        proxies: {
          async open(_request, signal) {
            snapshots.endOn(signal);
            return { proxyId: 'p', snapshots, serves: () => undefined, holds: () => undefined };
          },
        },
      },
    });
    expect((await edge.get('/v1/internal/sidecar')).status).toBe(400);
    const answer = await fetch(`http://127.0.0.1:${edge.port}/v1/internal/sidecar?proxy=p`);
    const lines = linesOf(answer);
    await lines.next();
    await edge.stop();
    await expect(lines.next()).rejects.toThrow();
  });
});

async function* linesOf(answer: Response): AsyncGenerator<string, void, void> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
}
