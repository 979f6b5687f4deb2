import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../lib/clock.ts';
import { type WatchHandler, watchHandler } from './handlers.ts';

const SIGNAL = new AbortController().signal;

function make(params: Record<string, unknown>, outputs: string[] = []): WatchHandler {
  return watchHandler(params, { clock: systemClock, env: process.env, onOutput: (output) => outputs.push(output) });
}

describe('a script', () => {
  it('gets the data on its input and the index in its environment', async () => {
    const outputs: string[] = [];
    await make({ args: ['sh', '-c', 'echo "$CONSUL_INDEX"; cat'] }, outputs)('42', { a: ['<b>'] }, SIGNAL);
    await make({ handler: 'echo "old $CONSUL_INDEX"' }, outputs)('7', null, SIGNAL);
    expect(outputs).toEqual(['42\n{"a":["<b>"]}\n', 'old 7\n']);
  });

  it('that fails, or is not there, is said to', async () => {
    await expect(make({ args: ['sh', '-c', 'exit 3'] })('1', null, SIGNAL)).rejects.toThrow('exit status 3');
    await expect(make({ args: ['no-such-program'] })('1', null, SIGNAL)).rejects.toThrow('executable file not found');
  });

  it('need not read what it is given', async () => {
    await make({ args: ['true'] })('1', 'x'.repeat(1_000_000), SIGNAL);
  });

  it('ends with its watch', async () => {
    const stop = new AbortController();
    const running = make({ args: ['sleep', '600'] })('1', null, stop.signal);
    stop.abort();
    await expect(running).rejects.toThrow('exit status -1');
  });
});

describe('a URL', () => {
  it('gets the data as the body, with the index as a header', async () => {
    const seen: unknown[] = [];
    let status = 200;
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { 'x-consul-index': index, 'x-a': own, 'content-type': type } = request.headers;
        seen.push([request.method, request.url, index, own, type, Buffer.concat(chunks).toString()]);
        response.writeHead(status).end('ignored');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const path = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
    const config = { path, header: { 'X-A': ['1', '2'] } };
    await make({ handler_type: 'http', http_handler_config: config })('9', [1], SIGNAL);
    const put = { Path: path, Method: 'put', Timeout: '60s', TLSSkipVerify: false };
    await make({ handler_type: 'http', http_handler_config: put })('10', {}, SIGNAL);
    expect(seen).toEqual([
      ['POST', '/hook', '9', '1, 2', 'application/json', '[1]\n'],
      ['PUT', '/hook', '10', undefined, 'application/json', '{}\n'],
    ]);
    status = 503;
    await expect(make({ handler_type: 'http', http_handler_config: { path } })('1', 1, SIGNAL)).rejects.toThrow(
      'answered with status 503',
    );
    server.close();
    await once(server, 'close');
  });

  it('that never answers is given up', async () => {
    const server = createServer(() => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const path = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const handler = make({ handler_type: 'http', http_handler_config: { path, timeout: '50ms' } });
    await expect(handler('1', 1, SIGNAL)).rejects.toMatchObject({ code: 'deadline' });
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
});

it.each<[Record<string, unknown>, string]>([
  [{}, 'a watch needs "args", a list of texts, or handler_type "http"'],
  [{ args: 'x' }, 'a watch needs "args"'],
  [{ args: ['x'], handler: 'x' }, 'Only one of "args" and "handler" may be given'],
  [{ handler_type: 'mail' }, "Handler type 'mail' not recognized"],
  [{ handler_type: 'http' }, 'handler_type "http" needs "http_handler_config"'],
  [{ handler_type: 'http', args: ['x'] }, 'handler_type "http" takes "http_handler_config" only'],
  [{ args: ['x'], http_handler_config: {} }, '"http_handler_config" goes with handler_type "http"'],
  [{ handler_type: 'http', http_handler_config: {} }, 'Requires "path" to be set'],
  [{ handler_type: 'http', http_handler_config: { path: 'file:///x' } }, '"http_handler_config.path" must be a URL'],
  [{ handler_type: 'http', http_handler_config: { path: 'http://x', timeout: 'x' } }, 'must be a duration'],
  [{ handler_type: 'http', http_handler_config: { path: 'http://x', method: 'A B' } }, 'must be a method of HTTP'],
  [{ handler_type: 'http', http_handler_config: { path: 'http://x', header: { a: [1] } } }, 'must be a list of texts'],
  [
    { handler_type: 'http', http_handler_config: { path: 'http://x', what: 1 } },
    'unknown key "http_handler_config.what"',
  ],
])('%j is refused', (params, message) => {
  expect(() => make(params)).toThrow(message);
});
