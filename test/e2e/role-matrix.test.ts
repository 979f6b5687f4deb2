import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AgentProcess, callAgent, startAgent } from '../harness/index.ts';
import { authority, CALLERS, call, channels, channelTo, expected, methods } from '../integration/role-callers.ts';

/** Every method of the server port of a running server, without access control, by everyone who can reach it. */

const folder = mkdtempSync(join(tmpdir(), 'isthmus-role-matrix-'));
let server: AgentProcess;
let port: number;

beforeAll(async () => {
  const own = authority.make('server');
  const file = (name: string, text: string): string => {
    const path = join(folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  server = await startAgent({
    name: 's1',
    datacenter: 'dc1',
    config: {
      limits: { rpc_max_conns_per_client: 0 },
      tls: {
        internal_rpc: {
          ca_file: file('ca.pem', authority.ca),
          cert_file: file('cert.pem', own.cert),
          key_file: file('key.pem', own.key),
          verify_incoming: true,
          verify_outgoing: true,
          verify_server_hostname: true,
        },
      },
    },
  });
  port = Number(server.ready.server?.split(':').at(-1));
});

afterAll(async () => {
  for (const channel of channels.values()) channel.close();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What a caller with the right to it would really do to the server: a write, and all that streams do. */
const acts = (method: string): boolean => !method.startsWith('read ');

describe.each(CALLERS)('%s', (who, material, letter) => {
  it('gets from a running server what its role allows, and nothing else', async () => {
    const wrong: Record<string, string> = {};
    let refused = 0;
    const ask = async (method: string): Promise<void> => {
      if (method === 'stream enrolJoin') return; // an invitation decides: test/e2e/secure.test.ts
      const must = expected(method, letter, 'off');
      if (must === 'answered' && acts(method)) return;
      const channel = channelTo(port, who, material, letter !== undefined);
      const got = await call(method, port, channel, material);
      if (letter === undefined) channel.close();
      if (must !== 'answered') refused += 1;
      // What it may ask is answered, or refused for its arguments, which are examples.
      const allowed = !/permission_denied|unavailable/.test(got);
      if (must === 'answered' ? !allowed : got !== must) wrong[method] = `${got} instead of ${must}`;
    };
    const rest = [...methods];
    const worker = async (): Promise<void> => {
      for (let next = rest.pop(); next !== undefined; next = rest.pop()) await ask(next);
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    expect(wrong).toEqual({});
    expect(refused).toBeGreaterThan(letter === 2 ? 0 : 10);
    expect(await callAgent(server, 'GET', '/v1/status/leader')).not.toBe('');
  }, 60_000);
});
