import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import { createTlsMaterial, type TlsMaterial } from '../../src/pki/tls-material.ts';
import { createChannel } from '../../src/rpc/transport/channel.ts';
import { createRemoteContract } from '../../src/rpc/transport/remote-contract.ts';
import { createRemoteSnapshots } from '../../src/rpc/transport/snapshots-wire.ts';
import { createTlsSecurity } from '../../src/rpc/transport/tls.ts';
import { type AgentProcess, isthmus, startAgent } from '../harness/index.ts';

/** What a client agent, or whoever has stolen its certificate, can do at a server that speaks TLS. */

const MANAGEMENT = '5ec2e7aa-0000-4000-8000-00000000beef';
const folder = mkdtempSync(join(tmpdir(), 'isthmus-roles-'));
const running: AgentProcess[] = [];
const never = new AbortController().signal;

interface Pair {
  readonly server: AgentProcess;
  readonly client: AgentProcess;
}

async function start(name: string, acl: object, token: string): Promise<Pair> {
  const managed = { tls: { internal_rpc: { managed: true } }, acl };
  const server = await startAgent({ name: `${name}-server`, datacenter: 'dc1', config: managed });
  running.push(server);
  const invitation = join(folder, `${name}.invitation`);
  const made = await isthmus([
    ...['federation', 'invite', '-agent', '-out', invitation],
    ...['-http-addr', server.ready.http, '-token', token],
  ]);
  expect(made).toMatchObject({ code: 0 });
  const client = await startAgent({
    name: `${name}-client`,
    datacenter: 'dc1',
    config: { ...managed, server: false },
    args: ['-join-invite', invitation],
  });
  running.push(client);
  return { server, client };
}

afterAll(async () => {
  for (const agent of running.reverse()) await agent.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What the thief has. */
function stolen(client: AgentProcess): TlsMaterial {
  const kept = JSON.parse(readFileSync(join(client.dataDir, 'agent-certificate.json'), 'utf8')) as {
    readonly key: string;
    readonly chain: string;
    readonly root: string;
  };
  const from = 'stolen';
  return createTlsMaterial(
    {
      ca: [{ text: kept.root, from }],
      cert: { text: kept.chain, from },
      key: { text: kept.key, from },
    },
    { minVersion: 'TLSv1.2', ciphers: '' },
  );
}

const SECRETS: readonly (readonly [string, readonly string[]])[] = [
  ['a snapshot', ['snapshot', 'save', 'FILE']],
  ['an invitation of a datacenter', ['federation', 'invite', '-out', 'FILE']],
  ['an invitation of another agent', ['federation', 'invite', '-agent', '-out', 'FILE']],
];

describe('without access control', () => {
  let pair: Pair;
  beforeAll(async () => {
    pair = await start('open', { enabled: false }, '');
  });

  it.each(SECRETS)('a client agent is refused %s; the server itself gives it', async (what, args) => {
    const save = (agent: AgentProcess) => {
      const file = join(folder, `${agent.name} ${what}`);
      const command = args.map((arg) => (arg === 'FILE' ? file : arg));
      return isthmus([...command.slice(0, 2), '-http-addr', agent.ready.http, ...command.slice(2)]);
    };
    const refused = await save(pair.client);
    expect(refused.code).toBe(1);
    expect(refused.err).toMatch(/while access control is off, .* is for the servers of dc1: ask at one of them/);
    expect(existsSync(join(folder, `${pair.client.name} ${what}`))).toBe(false);
    expect(await save(pair.server)).toMatchObject({ code: 0 });
  });

  it('its certificate opens nothing of that, and makes nobody the authority of the mesh', async () => {
    const { client, server } = pair;
    const material = stolen(client);
    const channel = createChannel({
      address: server.ready.server ?? '',
      datacenter: 'dc1',
      security: createTlsSecurity({
        material: () => material,
        policy: () => ({ verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true }),
        domain: 'consul',
        datacenter: 'dc1',
        clock: systemClock,
      }),
    });
    try {
      const remote = createRemoteContract({ channel, clock: systemClock });
      const snapshots = createRemoteSnapshots(channel);
      const signal = never;
      const nothing = (async function* (): AsyncGenerator<Uint8Array, void, void> {})();
      expect((await remote.read('catalog.nodes', {}, { signal })).value).toHaveLength(2); // the connection is good
      for (const attempt of [
        () => snapshots.save({ signal }),
        () => snapshots.restore(nothing, { signal, force: true }),
        () => remote.write('transport.invite', {}, { signal }),
        () => remote.write('ca.setConfig', { config: { Provider: 'consul', Config: {} } }, { signal }),
        () => remote.write('ca.signIntermediate', { csr: 'x', datacenter: 'dc1' }, { signal }),
        async () => {
          for await (const _ of channel.link(signal).messages) return;
        },
      ])
        await expect(attempt()).rejects.toMatchObject({ code: 'permission_denied' });
    } finally {
      channel.close();
    }
  });
});

describe('with access control', () => {
  it('a token decides, through a client agent too', async () => {
    const tokens = { initial_management: MANAGEMENT, agent: MANAGEMENT };
    const { client } = await start('guarded', { enabled: true, default_policy: 'deny', tokens }, MANAGEMENT);
    const save = (token: string) =>
      isthmus(['snapshot', 'save', '-http-addr', client.ready.http, '-token', token, join(folder, 'guarded.snap')]);
    expect((await save('')).err).toContain('Permission denied');
    expect(await save(MANAGEMENT)).toMatchObject({ code: 0 });
  });
});
