import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/lib/clock.ts';
import type { Member } from '../../src/model/member.ts';
import { createChannel } from '../../src/rpc/transport/channel.ts';
import { createRemoteContract } from '../../src/rpc/transport/remote-contract.ts';
import {
  type AgentProcess,
  assertNoneLeft,
  callAgent,
  isthmus,
  type Machine,
  type Machines,
  portOf,
  startAgent,
  startMachines,
  waitFor,
  withoutMachines,
} from '../harness/index.ts';

/** Servers whose ports other machines reach, with configurations that say nothing of TLS. */

const missing = withoutMachines();
const folder = mkdtempSync(join(tmpdir(), 'isthmus-default-'));
const running: { stop(): Promise<unknown> }[] = [];
let net: Machines;
let [one, two, three]: Machine[] = [];
let dc1: AgentProcess;
let dc2: AgentProcess;
let agent: AgentProcess;

interface Self {
  readonly Stats: { readonly session: { readonly server: string; readonly problem: string } };
}

interface LinkInfo {
  readonly state: { readonly kind: string; readonly reason?: string };
}

async function start(machine: Machine | undefined, name: string, config: object): Promise<AgentProcess> {
  if (machine === undefined) throw new Error('there is no such machine');
  const { address } = machine;
  const started = await startAgent({
    name,
    datacenter: 'dc1',
    binary: machine.runs(),
    config: { primary_datacenter: 'dc1', bind_addr: address, client_addr: address, ...config },
  });
  running.push(started);
  return started;
}

async function invite(...args: string[]): Promise<string> {
  const file = join(folder, `${args.join('')}.invitation`);
  const made = await isthmus(['federation', 'invite', '-http-addr', dc1.ready.http, '-out', file, ...args]);
  expect(made.code, made.err).toBe(0);
  return file;
}

const warnings = (of: AgentProcess): string[] =>
  of
    .log()
    .split('\n')
    .filter((line) => line.includes('"level":"warn"') && line.includes('"addresses"'));

/** What a caller gets who speaks to a port without a certificate. */
async function asked(address: string): Promise<unknown> {
  const channel = createChannel({ address });
  const signal = AbortSignal.timeout(5_000);
  try {
    return (await createRemoteContract({ channel, clock: systemClock }).read('catalog.nodes', {}, { signal })).value;
  } finally {
    channel.close();
  }
}

describe.skipIf(missing !== undefined)(
  `a server that other machines reach${missing === undefined ? '' : ` (skipped: ${missing})`}`,
  () => {
    beforeAll(async () => {
      net = await startMachines(3);
      [one, two, three] = net.machines as Machine[];
      dc1 = await start(one, 'dc1-s1', {});
    });

    afterAll(async () => {
      for (const each of running.reverse()) await each.stop();
      await net?.stop();
      rmSync(folder, { recursive: true, force: true });
      await assertNoneLeft();
    });

    it('starts, and says in one line what is open and what to do', () => {
      expect(warnings(dc1)).toEqual([expect.stringMatching(/this machine alone.*federation invite.*allow_plaintext/)]);
    });

    it('answers no other machine in plain text, nor without a certificate, on any port', async () => {
      for (const address of [dc1.ready.server, dc1.ready.serf_lan, dc1.ready.serf_wan]) {
        await expect(asked(address), address).rejects.toMatchObject({ code: 'unavailable' });
        const silent = await new Promise<Buffer>((resolve) => {
          const heard: Buffer[] = [];
          const socket = connect({ host: one?.address ?? '', port: portOf(address) });
          socket.on('data', (chunk) => heard.push(chunk));
          socket.on('error', () => undefined);
          socket.once('close', () => resolve(Buffer.concat(heard)));
          socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
        });
        expect(silent).toHaveLength(0);
        const told = await new Promise<string>((resolve) => {
          const heard: Buffer[] = [];
          const options = { host: one?.address ?? '', port: portOf(address), rejectUnauthorized: false };
          const socket = connectTls({ ...options, ALPNProtocols: ['h2'] });
          socket.on('data', (chunk) => heard.push(chunk));
          socket.on('error', () => undefined);
          socket.once('close', () => resolve(Buffer.concat(heard).toString()));
        });
        expect(told).toMatch(/presented no certificate/);
      }
    });

    it('takes an agent of its own machine as it is', async () => {
      const beside = await start(one, 'beside', { server: false, retry_join: [dc1.ready.serf_lan] });
      await waitFor(
        async () => (await callAgent<Member[]>(dc1, 'GET', '/v1/agent/members')).some(({ Name }) => Name === 'beside'),
        { what: 'the agent beside the server' },
      );
      await beside.stop();
    });

    it('takes an agent of another machine with an invitation, and no other', async () => {
      agent = await start(three, 'far', { server: false, retry_join: [dc1.ready.serf_lan] });
      const session = async () => (await callAgent<Self>(agent, 'GET', '/v1/agent/self')).Stats.session;
      const { problem } = await waitFor(async () => ((await session()).problem === '' ? undefined : session()), {
        what: 'the reason why it has no server',
      });
      expect(problem).toMatch(/no certificate to dial with: .*-join-invite.*allow_plaintext/);
      // Even if it is told to speak plain text: that is for the server to allow.
      await agent.restart({ allow_plaintext: true });
      await waitFor(async () => dc1.log().includes('it spoke plain text'), { what: 'the refusal' });
      expect((await session()).server).toBe('');
      await agent.restart({ allow_plaintext: false, join_invite: await invite('-agent') });
      await waitFor(async () => (await session()).server === 'dc1-s1', { what: 'the session' });
      await agent.restart({ join_invite: '' });
      await waitFor(async () => (await session()).server === 'dc1-s1', { what: 'the session of the next start' });
    });

    it('takes another datacenter with an invitation, and no other', async () => {
      const wan = `${one?.address}:${portOf(dc1.ready.serf_wan)}`;
      dc2 = await start(two, 'dc2-s1', { datacenter: 'dc2', retry_join_wan: [wan] });
      expect(warnings(dc2)).toEqual([expect.stringMatching(/no other machine is let in.*-join-invite/)]);
      const links = () => callAgent<LinkInfo[]>(dc2, 'GET', '/v1/internal/links');
      await waitFor(async () => JSON.stringify(await links()).includes('no certificate to dial with'), {
        what: 'the reason why there is no link',
      });
      await expect(asked(dc2.ready.server)).rejects.toMatchObject({ code: 'unavailable' });
      await dc2.restart({ join_invite: await invite() });
      const known = (at: AgentProcess) => callAgent<string[]>(at, 'GET', '/v1/catalog/datacenters');
      for (const at of [dc1, dc2, agent])
        await waitFor(async () => (await known(at)).length === 2, { what: `both datacenters at ${at.name}` });
      await dc2.restart({ join_invite: '' });
      const path = '/v1/connect/intentions/exact?source=web&destination=db';
      await waitFor(async () => (await dc2.http('PUT', path, { Action: 'deny' })).status === 200, {
        what: 'a write of dc2',
      });
      const nodes = `/v1/catalog/nodes?dc=dc2`;
      await waitFor(async () => (await callAgent<unknown[]>(dc1, 'GET', nodes)).length === 1, { what: 'nodes of dc2' });
      await expect(asked(dc2.ready.server)).rejects.toMatchObject({ code: 'unavailable' });
    });

    it('takes plain text from other machines where the configuration allows it, and says so', async () => {
      const trusting = await start(two, 'trusting', {
        datacenter: 'dc3',
        primary_datacenter: 'dc3',
        allow_plaintext: true,
      });
      expect(warnings(trusting)).toEqual([expect.stringMatching(/allow_plaintext lets other machines in/)]);
      expect(await asked(trusting.ready.server)).toEqual([expect.objectContaining({ Node: 'trusting' })]);
    });
  },
);
