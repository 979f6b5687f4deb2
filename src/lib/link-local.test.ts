import type { LookupAddress } from 'node:dns';
import { describe, expect, it, vi } from 'vitest';
import { isLinkLocal, lookupOutside } from './link-local.ts';

const NAMES: Readonly<Record<string, readonly LookupAddress[]>> = {
  'metadata.test': [
    { address: '169.254.169.254', family: 4 },
    { address: 'fd00:ec2::254', family: 6 },
  ],
  'both.test': [
    { address: '169.254.169.254', family: 4 },
    { address: '10.0.0.1', family: 4 },
  ],
};
vi.mock('node:dns', () => ({
  lookup: (host: string, _options: unknown, done: (error: null, found: unknown) => void) => done(null, NAMES[host]),
}));

describe('link-local addresses', () => {
  it.each([
    ...['169.254.0.0', '169.254.255.255', 'fe80::', 'febf::1%eth0', 'FD00:EC2::254', '::ffff:169.254.169.254'],
    ...['100.100.100.200', '::ffff:6464:64c8', 'fd20:ce::254', '64:ff9b::a9fe:a9fe', '64:ff9b::100.100.100.200'],
  ])('%s is one', (address) => expect(isLinkLocal(address)).toBe(true));

  it.each([
    ...['169.253.0.1', '169.255.0.1', '10.0.0.1', 'fec0::1', 'fd00:ec2::253', '::1', 'localhost', ''],
    ...['100.100.100.201', 'fd20:ce::253', '64:ff9b::a00:1'],
  ])('%s is none', (address) => expect(isLinkLocal(address)).toBe(false));

  it('are left out of what a name resolves to; a name with no other is refused', () => {
    const lookup = lookupOutside((host) => new Error(`${host} is refused`));
    const done = vi.fn();
    lookup('both.test', { all: true }, done);
    lookup('both.test', {}, done);
    lookup('metadata.test', { all: true }, done);
    expect(done.mock.calls).toEqual([
      [null, [{ address: '10.0.0.1', family: 4 }]],
      [null, '10.0.0.1', 4],
      [new Error('metadata.test is refused'), '', 0],
    ]);
  });
});
