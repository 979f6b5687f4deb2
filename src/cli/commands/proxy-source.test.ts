import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import type { SidecarUpdate, SidecarUpstream } from '../../model/sidecar.ts';
import { parseArguments } from '../flags.ts';
import { serveMetrics } from './metrics-page.ts';
import { PROXY_FLAGS, proxyTarget } from './proxy-options.ts';
import { upstreamsByName, watchSource } from './proxy-source.ts';

const upstream = (name: string, datacenter: string): SidecarUpstream => ({
  key: `service:${name}@${datacenter}:0`,
  type: 'service',
  name,
  datacenter,
  bindAddress: '127.0.0.1',
  bindPort: 0,
  config: {},
});

describe('upstreamsByName', () => {
  it('names the datacenter only where it is needed', () => {
    const upstreams = [upstream('db', 'dc1'), upstream('db', 'dc2'), upstream('cache', 'dc1'), upstream('lost', 'dc1')];
    const addresses = { 'service:db@dc1:0': 'a', 'service:db@dc2:0': 'b', 'service:cache@dc1:0': 'c' };
    expect(upstreamsByName(upstreams, addresses)).toEqual({ 'db.dc1': 'a', 'db.dc2': 'b', cache: 'c' });
  });
});

describe('watchSource', () => {
  it('keeps the newest configuration', async () => {
    const config = { proxyId: 'p', service: 'web', datacenter: 'dc1', node: 'n', upstreams: [], config: {} };
    const updates: SidecarUpdate[] = [{ version: 1, config }, { version: 2 }];
    const source = watchSource({
      updates: async function* () {
        yield* updates;
      },
      acknowledge: async () => undefined,
    });
    expect(source.config()).toBeUndefined();
    const seen: SidecarUpdate[] = [];
    for await (const update of source.updates(new AbortController().signal)) seen.push(update);
    expect(seen).toEqual(updates);
    expect(source.config()).toEqual(config);
  });
});

describe('proxyTarget', () => {
  const target = (...args: string[]) => proxyTarget(parseArguments(args, PROXY_FLAGS).flags);

  it('tells which proxy to be', () => {
    expect(target()).toBeUndefined();
    expect(target('-sidecar-for', 'web-1')).toEqual({ kind: 'sidecar-for', serviceId: 'web-1' });
    expect(target('-proxy-id=p')).toEqual({ kind: 'proxy', proxyId: 'p' });
    expect(
      target('-service=a', '-listen=:21000', '-service-addr=[::1]:80', '-upstream=db.dc2:1', '-upstream=c:0'),
    ).toEqual({
      kind: 'standalone',
      service: 'a',
      upstreams: ['db.dc2:1', 'c:0'],
      listen: { address: '0.0.0.0', port: 21_000 },
      local: { address: '::1', port: 80 },
    });
  });

  it.each(['nope', 'a:99999', '::1:80'])('refuses the address %s', (address) => {
    expect(() => target('-service=a', `-listen=${address}`, '-service-addr=b:1')).toThrow(/must be host:port/);
  });
});

describe('serveMetrics', () => {
  it('answers /metrics only', async () => {
    const metrics = { prometheusType: 'text/plain', prometheus: async () => 'up 1\n' };
    const page = await serveMetrics({ address: '127.0.0.1', port: 0 }, metrics);
    const fetchText = (path: string): Promise<string> =>
      new Promise((resolve, reject) => {
        get(`http://${page.address}${path}`, { agent: false }, (answer) => resolve(text(answer))).on('error', reject);
      });
    expect(await fetchText('/metrics')).toBe('up 1\n');
    expect(await fetchText('/')).toBe('only GET /metrics is here\n');
    await page.close();
  });
});
