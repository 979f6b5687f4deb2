import { type ClientHttp2Session, connect } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DeltaClient, deltaClient } from '../fakes/xds-client.ts';
import { type AgentProcess, startAgent, waitFor } from '../harness/index.ts';

const MANAGEMENT = '11111111-0000-0000-0000-000000000001';
const ADS = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const MIB = 1_024 * 1_024;
const node = { id: 'web-sidecar-proxy' };

/**
 * A real agent, and what pretends to be an Envoy of it. After each of them an Envoy that was there before is given a
 * change, and a new one is served.
 */
describe('hostile or broken Envoys', () => {
  let agent: AgentProcess;
  let token: string;
  let good: DeltaClient;
  const clients: { close(): void }[] = [];
  let changes = 0;

  const put = (path: string, body: object) => agent.http('PUT', path, body, { 'x-consul-token': MANAGEMENT });
  const stream = (secret: string | undefined = token): DeltaClient => {
    const client = deltaClient({
      address: agent.ready.grpc ?? '',
      ...(secret === '' ? {} : { token: secret }),
    });
    clients.push(client);
    return client;
  };
  const register = (name: string, upstream?: string): Promise<unknown> =>
    put('/v1/agent/service/register', {
      Name: name,
      Port: 8_080,
      Connect: {
        SidecarService: {
          Proxy: { Upstreams: upstream === undefined ? [] : [{ DestinationName: upstream, LocalBindPort: 9_191 }] },
        },
      },
    });
  /** Streams and connections that were refused or ended for this reason so far. */
  const refused = async (reason: string): Promise<number> => {
    const { body } = await agent.http('GET', '/v1/agent/metrics?format=prometheus', undefined, {
      'x-consul-token': MANAGEMENT,
    });
    return Number(new RegExp(`isthmus_xds_refused_total{reason="${reason}"} (\\d+)`).exec(body)?.[1] ?? 0);
  };
  /** Moves db; resolves when the good Envoy has been given that, and a new one everything. */
  async function othersAreServed(): Promise<void> {
    changes += 1;
    await put('/v1/catalog/register', {
      Node: 'far',
      Address: '127.0.0.1',
      Service: {
        Kind: 'connect-proxy',
        ID: 'db-sidecar-proxy',
        Service: 'db-sidecar-proxy',
        Port: 20_000 + changes,
        Proxy: { DestinationServiceName: 'db' },
      },
    });
    const pushed = await good.next();
    expect(pushed.typeUrl).toContain('ClusterLoadAssignment');
    good.send({ type: 'endpoints', responseNonce: pushed.nonce });
    const late = stream();
    late.send({ type: 'secret', node: { id: 'late-sidecar-proxy' }, resourceNamesSubscribe: ['leaf'] });
    expect((await late.next()).resources.map(({ name }) => name)).toEqual(['leaf']);
    late.close();
  }
  /** Of the agent, bytes; it has the time to give back what it has no use for. */
  const memory = async (): Promise<number> => {
    const { body } = await agent.http('GET', '/v1/agent/metrics?format=prometheus', undefined, {
      'x-consul-token': MANAGEMENT,
    });
    return Number(/^process_resident_memory_bytes (\d+)$/m.exec(body)?.[1] ?? Number.NaN);
  };

  beforeAll(async () => {
    agent = await startAgent({
      name: 'a',
      datacenter: 'dc1',
      config: {
        primary_datacenter: 'dc1',
        acl: { enabled: true, default_policy: 'deny', tokens: { master: MANAGEMENT, agent: MANAGEMENT } },
        ports: { grpc: 0 },
      },
    });
    await put('/v1/connect/intentions/exact?source=web&destination=db', { Action: 'allow' });
    await register('web', 'db');
    await register('late');
    await register('other');
    const made = await put('/v1/acl/token', {
      ServiceIdentities: [{ ServiceName: 'web' }, { ServiceName: 'late' }],
    });
    token = made.json<{ readonly SecretID: string }>().SecretID;
    good = stream();
    good.send({ type: 'cluster', node });
    const clusters = await good.next();
    good.send({ type: 'cluster', responseNonce: clusters.nonce });
    const names = clusters.resources.map(({ name }) => name).filter((name) => name.startsWith('db.'));
    good.send({ type: 'endpoints', resourceNamesSubscribe: names });
    const { nonce } = await good.next();
    good.send({ type: 'endpoints', responseNonce: nonce });
    await othersAreServed();
  }, 60_000);
  afterAll(async () => {
    for (const client of clients) client.close();
    await agent?.stop();
  });

  it('without a token, with a wrong one, or with the ID of another proxy, get nothing', async () => {
    const before = await refused('permission_denied');
    for (const [secret, id] of [
      ['', 'web-sidecar-proxy'],
      ['22222222-0000-0000-0000-000000000002', 'web-sidecar-proxy'],
      [token, 'other-sidecar-proxy'],
    ] as const) {
      const client = stream(secret);
      client.send({ type: 'secret', node: { id }, resourceNamesSubscribe: ['leaf'] });
      expect((await client.ended).code).toBe(status.PERMISSION_DENIED);
    }
    // What was asked with a right changes nothing: whose stream it is, the first message says.
    const client = stream();
    client.send({ type: 'secret', node, resourceNamesSubscribe: ['leaf'] });
    const { nonce } = await client.next();
    client.send({ type: 'secret', node: { id: 'other-sidecar-proxy' }, responseNonce: nonce });
    client.send({ type: 'secret', node: { id: 'other-sidecar-proxy' }, resourceNamesSubscribe: ['leaf'] });
    const { resources } = await client.next();
    expect(Buffer.from(resources[0]?.resource?.value ?? []).toString()).toContain('BEGIN CERTIFICATE');
    client.close();
    expect(await refused('permission_denied')).toBe(before + 3);
    await othersAreServed();
  });

  it('one that rejects everything for ever is sent each version once', async () => {
    const client = stream();
    client.send({ type: 'cluster', node });
    const clusters = await client.next();
    client.send({ type: 'cluster', responseNonce: clusters.nonce, errorDetail: { code: 13, message: 'never' } });
    for (let at = 0; at < 1_000; at += 1)
      client.send({
        type: 'cluster',
        responseNonce: clusters.nonce,
        errorDetail: { code: 13, message: 'x'.repeat(99) },
      });
    client.send({ type: 'secret', resourceNamesSubscribe: ['leaf'] });
    // Nothing came before it: no rejection was answered.
    expect((await client.next()).typeUrl).toContain('Secret');
    const shown = await agent.http('GET', '/v1/agent/connect/envoys', undefined, { 'x-consul-token': MANAGEMENT });
    expect(shown.body).toContain('"never"');
    await othersAreServed();
    client.close();
  });

  it('one that floods the agent with messages, or with bytes, is ended', async () => {
    const before = await refused('rate_limited');
    const loud = stream();
    for (let at = 0; at < 6_000; at += 1) loud.send({ type: 'cluster', node, responseNonce: 'none' });
    expect((await loud.ended).code).toBe(status.RESOURCE_EXHAUSTED);
    const large = stream();
    const metadata = { text: 'x'.repeat(3.5 * MIB) };
    for (let at = 0; at < 12; at += 1) large.send({ type: 'cluster', node: { ...node, metadata } });
    expect((await large.ended).code).toBe(status.RESOURCE_EXHAUSTED);
    const larger = stream();
    larger.send({ type: 'cluster', node: { ...node, metadata: { text: 'x'.repeat(5 * MIB) } } });
    expect((await larger.ended).code).toBe(status.RESOURCE_EXHAUSTED);
    expect(await refused('rate_limited')).toBe(before + 2);
    expect(await refused('too_large')).toBeGreaterThan(0);
    await othersAreServed();
  });

  it('one that subscribes to thousands of unknown names is ended, and below the limit costs nothing', async () => {
    const names = Array.from({ length: 5_000 }, (_, at) => `no-such-cluster-${at}`);
    const greedy = stream();
    greedy.send({ type: 'endpoints', node, resourceNamesSubscribe: names });
    expect((await greedy.ended).code).toBe(status.FAILED_PRECONDITION);
    const fair = stream();
    fair.send({ type: 'endpoints', node, resourceNamesSubscribe: names.slice(0, 4_000) });
    fair.send({ type: 'secret', resourceNamesSubscribe: ['leaf'] });
    expect((await fair.next()).typeUrl).toContain('Secret');
    await othersAreServed();
    fair.close();
  });

  it('one that never reads holds one message of each type', async () => {
    const deaf = stream();
    deaf.pause();
    deaf.send({ type: 'cluster', node });
    deaf.send({ type: 'listener' });
    deaf.send({ type: 'secret', resourceNamesSubscribe: ['leaf', 'roots'] });
    for (let at = 0; at < 20; at += 1) await othersAreServed();
    const sent = async (): Promise<number> => {
      const shown = await agent.http('GET', '/v1/agent/connect/envoys', undefined, { 'x-consul-token': MANAGEMENT });
      const all = shown.json<readonly { readonly Types: Record<string, { readonly Sent: number }> }[]>();
      return Math.max(...all.map(({ Types }) => Types.CDS?.Sent ?? 0));
    };
    expect(await sent()).toBeLessThanOrEqual(2);
    deaf.close();
  });

  it('many streams of one proxy, and 1,500 silent connections of one address, keep no other out', async () => {
    // The bound of streams of a proxy holds, whoever asks.
    const before = await refused('rate_limited');
    const many = Array.from({ length: 20 }, () => {
      const client = stream();
      client.send({ type: 'secret', node, resourceNamesSubscribe: ['leaf'] });
      return client;
    });
    await waitFor(async () => (await refused('rate_limited')) >= before + 17, { what: 'the bound of a proxy' });
    for (const client of many) client.close();
    await waitFor(
      async () => {
        const all = await agent.http('GET', '/v1/agent/connect/envoys', undefined, { 'x-consul-token': MANAGEMENT });
        return all.json<readonly object[]>().length === 1;
      },
      { what: 'the end of these streams' },
    );
    const [host, port] = (agent.ready.grpc ?? '').split(':');
    const silent: Socket[] = [];
    for (let at = 0; at < 1_500; at += 1) {
      const socket = connectTcp(Number(port), host);
      socket.on('error', () => undefined);
      silent.push(socket);
      if (at % 100 === 99) await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
    }
    await waitFor(async () => (await refused('connections')) > 900, { what: 'silent connections being given up' });
    await othersAreServed();
    for (const socket of silent) socket.destroy();
  }, 60_000);

  it('what unfinished messages hold is bounded', async () => {
    const before = await memory();
    const sessions: ClientHttp2Session[] = [];
    const ended: Promise<unknown>[] = [];
    for (let at = 0; at < 10; at += 1) {
      const session = connect(`http://${agent.ready.grpc}`);
      session.on('error', () => undefined);
      sessions.push(session);
      for (let each = 0; each < 4; each += 1) {
        const call = session.request({ ':method': 'POST', ':path': ADS, 'content-type': 'application/grpc' });
        call.on('error', () => undefined).resume();
        const head = Buffer.alloc(5);
        head.writeUInt32BE(4 * MIB, 1);
        call.write(Buffer.concat([head, Buffer.alloc(4 * MIB - 1)]));
        ended.push(new Promise((resolve) => call.once('close', resolve)));
      }
    }
    await Promise.race(ended);
    await waitFor(async () => (await refused('too_large')) > 5, { what: 'streams being reset' });
    expect((await memory()) - before).toBeLessThan(150 * MIB);
    await othersAreServed();
    for (const session of sessions) session.destroy();
  });
});
