import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.ts';
import { createTaskGroup } from '../../lib/task.ts';
import { createTransport } from '../transport.ts';
import { confirmRoots } from './confirm-roots.ts';

it('roots are confirmed once the application verifies with all of them, and not before', async () => {
  const seen: string[] = [];
  let stream: ServerResponse | undefined;
  let changed = (): void => undefined;
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await new Promise<void>((resolve) => (changed = resolve));
  };
  const server = createServer((request, response) => {
    seen.push(request.url ?? '');
    if (request.method === 'PUT') response.end();
    else stream = response;
    changed();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const transport = createTransport({ address: `127.0.0.1:${(server.address() as AddressInfo).port}` });
  const tasks = createTaskGroup({ clock: systemClock, onError: () => undefined });
  let held = ['r1'];
  const listeners: (() => void)[] = [];
  const identity = {
    get rootIds() {
      return held;
    },
    onChange: (listener: () => void) => void listeners.push(listener),
  };
  confirmRoots({ transport, clock: systemClock, tasks, service: 'web', identity });
  const send = (version: number, ...ids: string[]): unknown =>
    stream?.write(`${JSON.stringify({ version, roots: { roots: ids.map((id) => ({ id, pem: '' })) } })}\n`);

  await until(() => stream !== undefined);
  expect(seen).toEqual([expect.stringMatching(/^\/v1\/internal\/sidecar\?instance=[0-9a-f-]{36}&service=web$/)]);
  stream?.write('{"session":"s"}\n');
  send(1, 'r1');
  await until(() => seen.length === 2);
  send(2, 'r1', 'r2');
  send(3, 'r1'); // held: what is confirmed next shows that 2 was not
  await until(() => seen.length === 3);
  send(4, 'r1', 'r2');
  held = ['r1', 'r2'];
  for (const listener of listeners) listener();
  await until(() => seen.length === 4);
  expect(seen.slice(1)).toEqual([1, 3, 4].map((version) => `/v1/internal/sidecar/s/ack?version=${version}`));
  await tasks.stop();
  transport.close();
  server.closeAllConnections();
  server.close();
});
