import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateNodeKey, readNodeKey } from '../../src/pki/node-key.ts';
import { createChannel } from '../../src/rpc/transport/channel.ts';
import { type AgentProcess, callAgent, startAgent, waitFor } from '../harness/index.ts';

/** A server and a client agent, and a stranger who knows what anyone may read of them. */

let server: AgentProcess;
let client: AgentProcess;

interface Node {
  readonly ID: string;
  readonly Node: string;
}

beforeAll(async () => {
  server = await startAgent({ name: 's1', datacenter: 'dc1', config: { node_timeout: '2s' } });
  client = await startAgent({
    name: 'c1',
    datacenter: 'dc1',
    config: {
      server: false,
      retry_join: [server.ready.serf_lan],
      leave_on_terminate: false,
      service: { name: 'web', port: 80 },
    },
  });
  await waitFor(async () => 'web' in (await callAgent<object>(server, 'GET', '/v1/catalog/services')), { what: 'web' });
}, 60_000);

afterAll(async () => {
  await client?.stop();
  await server?.stop();
});

const nodes = (): Promise<Node[]> => callAgent<Node[]>(server, 'GET', '/v1/catalog/nodes');

/** Opens a session as this node, and leaves for good if it is let in; resolves with how far it came. */
async function steal(node: string, nodeId: string, key = readNodeKey(generateNodeKey())): Promise<string> {
  const channel = createChannel({ address: server.ready.server });
  try {
    const stream = channel.session(AbortSignal.timeout(5_000));
    const { publicKey } = key;
    const hello = { protocol: 1, datacenter: 'dc1', node, nodeId, address: '127.0.0.1', publicKey };
    stream.send({ message: { case: 'hello', value: hello } });
    for await (const { message } of stream.messages) {
      if (message.case === 'challenge') {
        const signature = key.prove({ datacenter: 'dc1', node, nodeId, nonce: message.value.nonce });
        stream.send({ message: { case: 'proof', value: { signature } } });
      } else if (message.case === 'welcome') stream.send({ message: { case: 'leaving', value: {} } });
      else return message.case === 'refusal' ? message.value.message : String(message.case);
    }
    return 'ended';
  } finally {
    channel.close();
  }
}

describe('a stranger who knows the IDs of all nodes', () => {
  it('takes no living node, deregisters none, and leaves the datacenter its leader', async () => {
    const before = await nodes();
    for (const { Node, ID } of before)
      for (const name of [Node, Node.toUpperCase(), `${Node}-new`])
        expect(await steal(name, ID), name).toMatch(/is a server of this datacenter|belongs to/);
    expect(await nodes()).toEqual(before);
    expect(Object.keys(await callAgent<object>(server, 'GET', '/v1/catalog/services'))).toEqual(['consul', 'web']);
    expect(await callAgent<string>(server, 'GET', '/v1/status/leader')).toBe(server.ready.server);
    expect(await callAgent<string[]>(server, 'GET', '/v1/status/peers')).toEqual([server.ready.server]);
  });

  it('takes no node that is away; its own agent comes back at once', async () => {
    await client.kill9();
    const lost = async () =>
      (await callAgent<{ Name: string; Status: number }[]>(server, 'GET', '/v1/agent/members')).some(
        ({ Name, Status }) => Name === 'c1' && Status === 4,
      );
    await waitFor(lost, { what: 'the loss of c1' });
    const [c1] = (await nodes()).filter(({ Node }) => Node === 'c1') as [Node];
    expect(await steal('c1', c1.ID)).toContain('belongs to a node with another key');
    await client.restart();
    await waitFor(async () => !(await lost()), { what: 'c1, alive again' });
  });
});

describe('an agent that was killed', () => {
  it('is taken back while its old session is still held', async () => {
    await client.kill9();
    await client.restart();
    expect(
      (await client.http('GET', '/v1/agent/self')).json<{ Stats: { session: { server: string } } }>().Stats.session
        .server,
    ).toBe('s1');
  });

  it('and lost its data directory is refused, with what to do, and comes when that was done', async () => {
    await client.kill9();
    for (const file of ['node-id', 'node-key.pem']) rmSync(join(client.dataDir, file));
    await client.restart();
    const problem = async (): Promise<string> =>
      (await client.http('GET', '/v1/agent/self')).json<{ Stats: { session: { problem: string } } }>().Stats.session
        .problem;
    await waitFor(async () => (await problem()).includes('isthmus force-leave c1'), { what: 'the refusal' });
    expect((await server.http('PUT', '/v1/agent/force-leave/c1')).status).toBe(200);
    await waitFor(async () => (await problem()) === '', { what: 'the new session' });
    expect(client.log()).not.toContain('PRIVATE KEY');
  });
});
