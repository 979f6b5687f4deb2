import { once } from 'node:events';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { makeRoots } from '../../../test/fakes/ca-roots.ts';
import { grpcMessage } from '../../../test/fakes/http2-frames.ts';
import { proxySnapshot } from '../../../test/fakes/proxy-snapshot.ts';
import { type DeltaClient, deltaClient, wholeClient } from '../../../test/fakes/xds-client.ts';
import { FakeFeeds, PROXY } from '../../../test/fakes/xds-feeds.ts';
import { type Clock, createSystemClock, systemClock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { Failure } from '../../lib/failure.ts';
import { type LogFields, noLog, noMetrics } from '../../telemetry/types.ts';
import type { XdsLimits } from './limits.ts';
import { createXdsMeters } from './meters.ts';
import { createXdsServer, type XdsServer } from './server.ts';
import type { XdsType } from './types.ts';

const DELTA = '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
const stops: (() => unknown)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function start(limits: Partial<XdsLimits> = {}, clock: Clock = systemClock) {
  const feeds = new FakeFeeds();
  const warnings: LogFields[] = [];
  const server: XdsServer = createXdsServer(
    {
      feeds,
      failure: new Failure(),
      clock,
      log: { ...noLog, warn: (message, fields = {}) => warnings.push({ message, ...fields }) },
      meters: createXdsMeters(noMetrics, () => 0),
    },
    { listeners: [{ kind: 'tcp', host: '127.0.0.1', port: 0 }], limits },
  );
  await server.start(new AbortController().signal);
  stops.push(() => server.stop());
  const address = `127.0.0.1:${server.addresses[0]?.port}`;
  const delta = (token?: string): DeltaClient => {
    const client = deltaClient({ address, ...(token === undefined ? {} : { token }) });
    stops.push(() => client.close());
    return client;
  };
  const whole = () => {
    const client = wholeClient({ address });
    stops.push(() => client.close());
    return client;
  };
  return { feeds, server, address, warnings, delta, whole };
}

const node = { id: PROXY };

/** Asks for everything, and takes over what comes until nothing more does. */
async function adopt(client: DeltaClient, messages: number): Promise<readonly string[]> {
  client.send({ type: 'cluster', node });
  client.send({ type: 'listener' });
  client.send({ type: 'secret', resourceNamesSubscribe: ['leaf', 'roots'] });
  client.send({ type: 'extension', resourceNamesSubscribe: ['inbound-network-rules'] });
  const seen: string[] = [];
  for (let at = 0; at < messages; at += 1) {
    const { typeUrl, nonce, resources } = await client.next();
    seen.push(`${typeUrl.split('.').at(-1)}: ${resources.map(({ name }) => name).join(' ')}`);
    client.send({ type: typeOf(typeUrl), responseNonce: nonce });
  }
  return seen;
}

function typeOf(url: string): XdsType {
  const last = url.split('.').at(-1);
  return last === 'Cluster' ? 'cluster' : last === 'Listener' ? 'listener' : last === 'Secret' ? 'secret' : 'extension';
}

describe('incremental xDS', () => {
  it('gives everything in its order, then only what changed', async () => {
    const { feeds, delta, server } = await start();
    const client = delta('secret');
    expect(await adopt(client, 4)).toEqual([
      'Cluster: local_app',
      'Secret: leaf roots',
      'TypedExtensionConfig: inbound-network-rules', // rules wait for nothing
      'Listener: public_listener:127.0.0.1:21000', // waits until the clusters are confirmed
    ]);
    expect(feeds.opened).toEqual([{ kind: 'registered', proxyId: PROXY, token: 'secret', exposes: true }]);
    feeds.push({ ...feeds.current, roots: makeRoots('r1', 'r2') });
    const update = await client.next();
    expect(update.resources.map(({ name }) => name)).toEqual(['roots']);
    expect(feeds.holds).toEqual([['r1']]);
    client.send({ type: 'secret', responseNonce: update.nonce });
    await expect.poll(() => feeds.holds).toEqual([['r1'], ['r1', 'r2']]);
    const version = update.resources[0]?.version;
    const SDS = { Sent: 3, SentVersion: version, AcknowledgedVersion: version };
    expect(server.envoys()).toMatchObject([
      { ProxyID: PROXY, Service: 'web', Protocol: 'delta', Types: { SDS }, Rejected: [] },
    ]);
  });

  it('sends nothing that an Envoy has already when it comes back, and takes its word for what it holds', async () => {
    const { feeds, delta } = await start();
    const first = delta();
    first.send({ type: 'secret', node, resourceNamesSubscribe: ['leaf', 'roots'] });
    const { resources } = await first.next();
    first.close();
    const versions = Object.fromEntries(resources.map(({ name, version }) => [name, version]));
    const second = delta();
    second.send({
      type: 'secret',
      node,
      resourceNamesSubscribe: ['leaf', 'roots'],
      initialResourceVersions: versions,
    });
    await expect.poll(() => feeds.holds).toEqual([['r1']]);
    feeds.push({ ...feeds.current, leaf: { ...feeds.current.leaf, CertPEM: 'cert 02' } });
    expect((await second.next()).resources.map(({ name }) => name)).toEqual(['leaf']);
  });

  it('a rejected resource is shown and logged once, is not sent again, and the next version is', async () => {
    const { feeds, delta, server, warnings } = await start();
    const client = delta();
    client.send({ type: 'listener', node });
    const { nonce, resources } = await client.next();
    const rejected = resources[0]?.version;
    const message = 'Error adding/updating listener(s) public_listener:127.0.0.1:21000: no';
    client.send({ type: 'listener', responseNonce: nonce, errorDetail: { code: 13, message } });
    await expect
      .poll(() => server.envoys()[0]?.Rejected)
      .toMatchObject([{ Type: 'LDS', Resource: 'public_listener:127.0.0.1:21000', Error: message }]);
    const { config } = proxySnapshot();
    feeds.push({ ...feeds.current, config: { ...config, listen: { address: '127.0.0.1', port: 21_001 } } });
    const next = await client.next();
    expect(next.resources.map(({ name }) => name)).toEqual(['public_listener:127.0.0.1:21001']);
    expect(next.removedResources).toEqual(['public_listener:127.0.0.1:21000']);
    const [sent] = next.resources.map(({ version }) => version);
    expect(server.envoys()[0]?.Types.LDS).toMatchObject({ SentVersion: sent, LastRejection: { Version: rejected } });
    expect(server.envoys()[0]?.Types.LDS).not.toHaveProperty('AcknowledgedVersion');
    client.send({ type: 'listener', responseNonce: next.nonce });
    await expect
      .poll(() => server.envoys()[0]?.Types.LDS)
      .toMatchObject({ AcknowledgedVersion: sent, LastRejection: { Version: rejected, Error: message } });
    expect(warnings).toMatchObject([{ proxy: PROXY, type: 'LDS', resource: 'public_listener:127.0.0.1:21000' }]);
  });

  it('sends the endpoints of a cluster again when it changes: it waits for them, and does not ask', async () => {
    const { feeds, delta } = await start();
    const { config } = proxySnapshot();
    const upstream = {
      key: 'service:db@dc1:1',
      type: 'service' as const,
      name: 'db',
      datacenter: 'dc1',
      bindAddress: '127.0.0.1',
      bindPort: 1,
      config: {},
    };
    const target = (datacenter: string) => ({ service: 'db', datacenter });
    const withTargets = (...targets: readonly { readonly service: string; readonly datacenter: string }[]) =>
      proxySnapshot({
        config: { ...config, upstreams: [upstream] },
        upstreams: new Map([[upstream.key, { endpoints: [], targets, problem: '' }]]),
      });
    feeds.current = withTargets(target('dc1'));
    const client = delta();
    client.send({ type: 'cluster', node });
    const clusters = await client.next();
    const name = clusters.resources.map((each) => each.name).find((each) => each !== 'local_app') ?? '';
    client.send({ type: 'cluster', responseNonce: clusters.nonce });
    client.send({ type: 'endpoints', resourceNamesSubscribe: [name] });
    const endpoints = await client.next();
    client.send({ type: 'endpoints', responseNonce: endpoints.nonce });
    feeds.push(withTargets(target('dc1'), target('dc2')));
    const changed = await client.next();
    expect(changed.resources.map((each) => each.name)).toEqual([name]);
    const again = await client.next();
    expect([again.typeUrl, again.resources.map((each) => each.name)]).toEqual([endpoints.typeUrl, [name]]);
  });

  it('removes a cluster only after the listeners that lead to it', async () => {
    const { feeds, delta } = await start();
    const { config } = proxySnapshot();
    const upstream = {
      key: 'service:db@dc1:1',
      type: 'service' as const,
      name: 'db',
      datacenter: 'dc1',
      bindAddress: '127.0.0.1',
      bindPort: 1,
      config: {},
    };
    feeds.current = proxySnapshot({
      config: { ...config, upstreams: [upstream] },
      upstreams: new Map([[upstream.key, { endpoints: [], targets: [], problem: '' }]]),
    });
    const client = delta();
    await adopt(client, 4);
    feeds.push(proxySnapshot());
    const first = await client.next();
    expect(first.typeUrl).toContain('Listener');
    expect(first.removedResources).toEqual(['db:127.0.0.1:1']);
    client.send({ type: 'listener', responseNonce: first.nonce });
    const second = await client.next();
    expect(second.typeUrl).toContain('Cluster');
    expect(second.removedResources).toHaveLength(1);
  });
});

describe('xDS as state of the world', () => {
  it('gives whole lists of clusters and listeners, and of secrets only what is new', async () => {
    const { feeds, whole, server } = await start();
    const client = whole();
    client.send({ type: 'cluster', node });
    const clusters = await client.next();
    expect(clusters.resources).toHaveLength(1);
    client.send({ type: 'cluster', responseNonce: clusters.nonce, versionInfo: clusters.versionInfo });
    client.send({ type: 'secret', resourceNames: ['leaf'] });
    const leaf = await client.next();
    expect(leaf.resources).toHaveLength(1);
    client.send({ type: 'secret', resourceNames: ['leaf', 'roots'], responseNonce: leaf.nonce });
    const roots = await client.next();
    expect(roots.resources).toHaveLength(1);
    client.send({ type: 'secret', resourceNames: ['leaf', 'roots'], responseNonce: roots.nonce });
    await expect.poll(() => feeds.holds).toEqual([['r1']]);
    const { config } = proxySnapshot();
    feeds.push({ ...feeds.current, config: { ...config, config: { max_inbound_connections: 3 } } });
    expect((await client.next()).typeUrl).toContain('Cluster');
    expect(server.envoys()).toMatchObject([{ Protocol: 'state of the world' }]);
  });
});

describe('who is served', () => {
  it('refuses a stream whose token may not write the service, without a proxy, or that stays silent', async () => {
    const { feeds, delta } = await start({ firstMessageMs: 100 });
    feeds.refusal = new IsthmusError('permission_denied', 'Permission denied');
    const denied = delta('wrong');
    denied.send({ type: 'cluster', node });
    expect(await denied.ended).toMatchObject({ code: status.PERMISSION_DENIED, details: 'Permission denied' });
    const nameless = delta();
    nameless.send({ type: 'cluster' });
    expect(await nameless.ended).toMatchObject({ code: status.INVALID_ARGUMENT });
    const silent = delta();
    expect(await silent.ended).toMatchObject({ code: status.DEADLINE_EXCEEDED });
    expect(feeds.followed).toBe(0);
  });

  it('counts messages within ten seconds also while the clock is set again and again', async () => {
    let aheadMs = 0;
    const clock = createSystemClock({ wall: () => Date.now() + aheadMs, steady: () => performance.now() });
    const { delta, server } = await start({ messagesPerTenSeconds: 50 }, clock);
    const loud = delta();
    await adopt(loud, 4);
    expect(server.envoys()).toHaveLength(1);
    for (let at = 0; at < 51; at += 1) {
      aheadMs += at % 2 === 0 ? 60_000 : -120_000;
      loud.send({ type: 'listener', node, responseNonce: 'x' });
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    expect(await loud.ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
  });

  it('refuses more names, messages and streams than one may have, and serves the others on', async () => {
    const { delta, server, feeds } = await start({ subscriptions: 100, perProxy: 2, messagesPerTenSeconds: 50 });
    const good = delta();
    await adopt(good, 4);
    const greedy = delta();
    greedy.send({
      type: 'endpoints',
      node,
      resourceNamesSubscribe: Array.from({ length: 101 }, (_, at) => `absent-${at}`),
    });
    expect(await greedy.ended).toMatchObject({ code: status.FAILED_PRECONDITION });
    const loud = delta();
    for (let at = 0; at < 51; at += 1) loud.send({ type: 'listener', node, responseNonce: 'x' });
    expect(await loud.ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    await expect.poll(() => server.envoys().length).toBe(1);
    const second = delta();
    second.send({ type: 'cluster', node });
    await second.next();
    const third = delta();
    third.send({ type: 'cluster', node });
    expect(await third.ended).toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    second.close();
    await expect.poll(() => server.envoys().length).toBe(1);
    const strange = delta();
    strange.send({ type: 'cluster', node, ...{ typeUrl: 'type.googleapis.com/envoy.X' } });
    expect((await strange.ended).details).toContain('not served');
    feeds.push({ ...feeds.current, leaf: { ...feeds.current.leaf, CertPEM: 'cert 02' } });
    expect((await good.next()).resources.map(({ name }) => name)).toEqual(['leaf']);
  });

  it('gives up the oldest silent connection of an address for a new one, and never one that is served', async () => {
    const { server, delta, address, warnings } = await start({ perAddress: 2 });
    const port = Number(address.split(':')[1]);
    const open = async (): Promise<Socket> => {
      const socket = connect(port, '127.0.0.1');
      stops.push(() => socket.destroy());
      socket.on('error', () => undefined);
      socket.resume();
      await once(socket, 'connect');
      return socket;
    };
    const silent = await open();
    const served = delta();
    served.send({ type: 'cluster', node });
    await served.next();
    const [, second] = await Promise.all([once(silent, 'close'), open()]);
    const client = delta(); // takes the place of the second one
    const [{ resources }] = await Promise.all([
      (async () => {
        client.send({ type: 'cluster', node });
        return await client.next();
      })(),
      once(second, 'close'),
    ]);
    expect(resources).toHaveLength(1);
    const late = await open();
    await once(late, 'close'); // both are served: there is no room
    expect(server.envoys()).toHaveLength(2);
    expect(warnings.filter(({ reason }) => reason === 'connections')).toHaveLength(3);
  });

  it('survives what is no HTTP/2, and what is no gRPC', async () => {
    const { delta, address } = await start();
    const socket = connect(Number(address.split(':')[1]), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.resume();
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await once(socket, 'close');
    const session = connectHttp2(`http://${address}`);
    stops.push(() => session.destroy());
    const ask = async (path: string, body: Buffer): Promise<string | undefined> => {
      const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
      let found: string | undefined;
      const look = (headers: IncomingHttpHeaders): void => {
        found ??= headers['grpc-status'] as string | undefined;
      };
      stream.on('response', look).on('trailers', look).resume();
      stream.end(body);
      await once(stream, 'close');
      return found;
    };
    expect(await ask('/grpc.health.v1.Health/Watch', grpcMessage(Buffer.alloc(0)))).toBe(`${status.UNIMPLEMENTED}`);
    expect(await ask(DELTA, grpcMessage(Buffer.from('no message at all')))).toBe(`${status.INVALID_ARGUMENT}`);
    expect(await ask(DELTA, Buffer.from([1, 0, 0, 0, 1, 0]))).toBe(`${status.UNIMPLEMENTED}`);
    expect(await ask(DELTA, Buffer.from([0, 255, 255, 255, 255, 0]))).toBe(`${status.RESOURCE_EXHAUSTED}`);
    const client = delta();
    client.send({ type: 'cluster', node });
    expect((await client.next()).resources).toHaveLength(1);
  });

  it('an Envoy that does not read is made nothing for; it gets the newest when it reads again', async () => {
    const { feeds, delta } = await start();
    const client = delta();
    client.send({ type: 'secret', node, resourceNamesSubscribe: ['leaf'] });
    const first = await client.next();
    for (let at = 0; at < 1_000; at += 1)
      feeds.push({ ...feeds.current, leaf: { ...feeds.current.leaf, CertPEM: `cert ${at}` } });
    client.send({ type: 'secret', responseNonce: first.nonce });
    const second = await client.next();
    expect(Buffer.from(second.resources[0]?.resource?.value ?? []).toString()).toContain('cert 999');
  });

  it('ends every stream when it stops, so that Envoys go elsewhere', async () => {
    const { server, delta, feeds } = await start();
    const client = delta();
    await adopt(client, 4);
    await server.stop();
    expect((await client.ended).code).not.toBe(status.OK);
    expect(feeds.followed).toBe(0);
  });
});
