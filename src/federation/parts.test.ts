import { describe, expect, it } from 'vitest';
import { Heartbeat } from '../rpc/transport/heartbeat.ts';
import { formatAddress, isDialable, parseWanAddress } from './address.ts';
import { type Party, refusalBetween } from './may-federate.ts';

describe('parseWanAddress', () => {
  it.each([
    ['10.0.0.1', '10.0.0.1:8302'],
    ['10.0.0.1:18302', '10.0.0.1:18302'],
    [' dc2.example.com ', 'dc2.example.com:8302'],
    ['::1', '[::1]:8302'],
    ['[::1]', '[::1]:8302'],
    ['[2001:db8::1]:9', '[2001:db8::1]:9'],
  ])('reads %s as %s', (text, expected) => {
    expect(parseWanAddress(text)).toBe(expected);
  });

  it.each(['', 'a b', 'host:', 'host:0', 'host:65536', 'host:port', '[::1', 'http://host:1'])('refuses %j', (text) => {
    expect(() => parseWanAddress(text)).toThrow(/is no address: write host or host:port/);
  });

  it('writes IPv6 in brackets, and knows what can be dialled', () => {
    expect(formatAddress({ address: '::1', port: 1 })).toBe('[::1]:1');
    expect(isDialable({ address: '0.0.0.0', port: 1 })).toBe(false);
    expect(isDialable({ address: '10.0.0.1', port: 0 })).toBe(false);
    expect(isDialable({ address: '10.0.0.1', port: 1 })).toBe(true);
  });
});

describe('refusalBetween', () => {
  const party = (part: Partial<Party>): Party => ({
    protocol: 1,
    datacenter: 'dc1',
    node: 's1',
    nodeId: 'n1',
    primaryDatacenter: 'dc1',
    isPrimary: false,
    trustDomain: '',
    epoch: 'e1',
    ...part,
  });
  const own = party({ isPrimary: true, trustDomain: 't.consul' });
  const other = party({ datacenter: 'dc2', node: 's2', nodeId: 'n2', epoch: 'e2' });

  it.each<[string | undefined, Party]>([
    [undefined, other],
    [undefined, { ...other, trustDomain: 't.consul', protocol: 7 }],
    [undefined, party({ node: 's3', nodeId: 'n3', isPrimary: true })], // another server of this datacenter
    ['protocol', { ...other, protocol: 0 }],
    ['self', own],
    ['datacenter', { ...other, nodeId: 'n1' }],
    ['datacenter', { ...other, datacenter: 'dc1' }],
    ['primary', { ...other, primaryDatacenter: 'dc2', isPrimary: true }],
    ['primary', { ...other, primaryDatacenter: 'dc2' }],
    ['trust_domain', { ...other, trustDomain: 'u.consul' }],
  ])('finds %s', (code, hello) => {
    const refusal = refusalBetween(own, hello, []);
    expect(refusal?.code).toBe(code);
    // both sides do
    if (code === 'trust_domain' || code === 'primary') expect(refusalBetween(hello, own, [])?.code).toBe(code);
  });

  it('knows a datacenter by the first that came', () => {
    const first = { ...other, nodeId: 'n9', epoch: 'e9' };
    expect(refusalBetween(own, other, [first])?.code).toBe('datacenter');
    expect(refusalBetween(own, other, [{ ...first, epoch: 'e2' }])).toBeUndefined(); // a second server of it
    // the same server with a restored store
    expect(refusalBetween(own, { ...other, epoch: 'restored' }, [other])).toBeUndefined();
    // Servers of one store hear of its restore one after the other, in either order.
    const [old, restored] = [
      { ...first, epoch: 'e2' },
      { ...other, epoch: 'restored' },
    ];
    expect(refusalBetween(own, restored, [old])?.code).toBe('datacenter');
    expect(refusalBetween(own, restored, [old], new Set(['dc2/e2']))).toBeUndefined();
    expect(refusalBetween(own, old, [restored], new Set(['dc2/e2']))).toBeUndefined();
    expect(refusalBetween(own, { ...old, epoch: 'of others' }, [restored], new Set(['dc2/e2']))?.code).toBe(
      'datacenter',
    );
  });
});

describe('Heartbeat', () => {
  it('counts silent beats and smooths the round-trip time', () => {
    let now = 0;
    const heartbeat = new Heartbeat(() => now);
    expect(heartbeat.rttMs).toBeUndefined();
    expect([heartbeat.beat(), heartbeat.beat(), heartbeat.beat()]).toEqual([0, 1, 2]);
    heartbeat.heard();
    expect(heartbeat.beat()).toBe(0);
    const first = heartbeat.ping();
    now += 10;
    heartbeat.pong(first);
    expect(heartbeat.rttMs).toBe(10);
    heartbeat.pong(first); // a second answer says nothing
    const second = heartbeat.ping();
    now += 20;
    heartbeat.pong(second);
    expect(heartbeat.rttMs).toBe(12);
    const lost = heartbeat.ping();
    for (let more = 0; more < 16; more += 1) heartbeat.ping();
    heartbeat.pong(lost); // forgotten
    expect(heartbeat.rttMs).toBe(12);
  });
});
