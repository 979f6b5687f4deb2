import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../lib/clock.ts';
import { KeySource } from './key-source.ts';

/** Names that end in .test resolve to what stands in front of it. */
vi.mock('node:dns', () => ({
  lookup: (host: string, _options: unknown, done: (error: null, found: unknown) => void) =>
    done(null, [{ address: host.replace('.test', ''), family: 4 }]),
}));

const server = createServer((_request, response) => response.end('{"keys":[]}'));
afterEach(() => void server.close());

async function fetchedFrom(uri: string): Promise<unknown> {
  const keys = { type: 'remote' as const, uri, cacheMs: 60_000, timeoutMs: 2_000, retries: 1 };
  return await new KeySource({ clock: systemClock, keys } as ConstructorParameters<typeof KeySource>[0]).get(false);
}

describe('keys of an issuer', () => {
  it.each([
    ...['169.254.169.254', '[fe80::1]', '[fd00:ec2::254]', '[::ffff:169.254.0.1]', '2852039166', '0xa9fea9fe'],
    ...['100.100.100.200', '169.254.169.254.test', '100.100.100.200.test'],
  ])('are not fetched from a link-local address or the metadata of a cloud: %s', async (host) => {
    for (const scheme of ['http', 'https'])
      await expect(fetchedFrom(`${scheme}://${host}/keys`)).rejects.toThrow(/link-local address/);
  });

  it('are fetched from a name with another address', async () => {
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    expect(await fetchedFrom(`http://127.0.0.1.test:${port}/keys`)).toBeTypeOf('function');
  });
});
