import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { startTestEdge, type TestEdge, type TestEdgeOptions } from '../../../test/fakes/http-edge.ts';
import { OPEN } from '../../agent/access/rules.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { ApiRequest, ApiResponse, Route } from './route.ts';

let edge: TestEdge;

afterEach(() => edge?.stop());

const LIMITS = { maxBodyBytes: 10_000, maxBodiesBytes: 40_000 };

async function start(handle: (request: ApiRequest) => ApiResponse | Promise<ApiResponse>, options?: TestEdgeOptions) {
  const route: Route = { method: 'PUT', path: '/test', about: '', acl: 'none', rule: OPEN, handle };
  edge = await startTestEdge({ routes: [route], limits: LIMITS, ...options });
}

/** Begins a request and sends the first bytes of its body. */
function begin(client: string, body: string, options: { readonly path?: string } = {}): ClientRequest {
  const { path = '/test' } = options;
  const sent = request({ host: '127.0.0.1', localAddress: client, port: edge.port, method: 'PUT', path, agent: false });
  sent.on('error', () => undefined);
  sent.write(body);
  return sent;
}

async function answerTo(sent: ClientRequest): Promise<{ readonly status: number; readonly text: string }> {
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const piece of answer) text += piece;
  return { status: answer.statusCode ?? 0, text };
}

describe('bodies', () => {
  it('arrive whole, in pieces, or not at all', async () => {
    await start(({ body }) => ({ text: `${body}` }));
    expect(await edge.send('PUT', '/test', 'whole')).toMatchObject({ status: 200, body: 'whole' });
    expect(await edge.send('PUT', '/test')).toMatchObject({ status: 200, body: '' });
    const sent = begin('127.0.0.1', 'in ');
    sent.write('two ');
    sent.end('pieces');
    expect(await answerTo(sent)).toEqual({ status: 200, text: 'in two pieces' });
  });

  it('are not taken in before whoever stands around the routes lets the request in', async () => {
    const seen: number[] = [];
    await start(() => ({ text: 'done' }), {
      around: (routes) =>
        routes.map((route) => ({
          ...route,
          handle(asked) {
            seen.push(asked.body.length);
            if (asked.token !== 'good') throw new IsthmusError('permission_denied', 'no');
            return route.handle(asked);
          },
        })),
    });
    expect(await answerTo(begin('127.0.0.1', 'the rest never comes'))).toEqual({ status: 403, text: 'no' });
    expect(await edge.send('PUT', '/test', 'body', { 'x-consul-token': 'good' })).toMatchObject({ status: 200 });
    expect(seen).toEqual([0, 0]);
  });

  it.each([
    ['/v1/nothing', 404],
    ['/v1/catalog/nodes', 405],
    ['/v1/catalog/register?ns=team', 400],
  ])('of a request to %s are not waited for: %i', async (path, status) => {
    await start(() => ({}));
    expect((await answerTo(begin('127.0.0.1', 'the rest never comes', { path }))).status).toBe(status);
  });

  it('above what all may hold are refused to the address that holds most, the largest first', async () => {
    await start(() => ({ text: 'done' }));
    const full = Array.from({ length: 4 }, (_, at) => begin('127.0.0.2', 'x'.repeat(9_000 + at)));
    const [largest] = full.splice(3) as [ClientRequest];
    const refused = answerTo(largest);
    const other = begin('127.0.0.3', 'y'.repeat(9_000));
    expect(await refused).toEqual({ status: 503, text: expect.stringContaining('try again in a second') });
    other.end();
    expect((await answerTo(other)).status).toBe(200);
    for (const sent of full) {
      sent.end();
      expect((await answerTo(sent)).status).toBe(200);
    }
    const again = begin('127.0.0.2', 'z'.repeat(9_000));
    again.end();
    expect((await answerTo(again)).status).toBe(200);
  });

  it('count until their request is answered', async () => {
    let answer = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let under = 0;
    let all = (): void => undefined;
    const four = new Promise<void>((resolve) => {
      all = resolve;
    });
    await start(async () => {
      under += 1;
      if (under === 4) all();
      await held;
      return { text: 'done' };
    });
    const sent = Array.from({ length: 4 }, () => {
      const one = begin('127.0.0.2', 'x'.repeat(9_500));
      one.end();
      return one;
    });
    await four;
    expect((await answerTo(begin('127.0.0.3', 'y'.repeat(9_000)))).status).toBe(503);
    answer();
    for (const one of sent) expect((await answerTo(one)).status).toBe(200);
    const last = begin('127.0.0.3', 'y'.repeat(9_000));
    last.end();
    expect((await answerTo(last)).status).toBe(200);
  });

  it('that are cut off hold nothing', async () => {
    await start(() => ({ text: 'done' }));
    for (let at = 0; at < 10; at += 1) {
      const cut = begin('127.0.0.2', 'x'.repeat(9_000));
      await once(cut, 'socket');
      await new Promise<void>((resolve) => cut.write('more', () => resolve()));
      cut.destroy();
    }
    const whole = begin('127.0.0.3', 'y'.repeat(9_000));
    whole.end();
    expect((await answerTo(whole)).status).toBe(200);
  });
});
