import { expect, it } from 'vitest';
import { type LogFields, noLog } from '../../telemetry/types.ts';
import { type PortProtection, warnOfOpenPorts } from './port-protection.ts';

const OUTSIDE = { server: { address: '0.0.0.0', port: 8300 }, serf_wan: { address: '127.0.0.1', port: 8302 } };
const STRICT = { verifyIncoming: true, verifyOutgoing: true, verifyServerHostname: true };
const PLAIN = { verifyIncoming: false, verifyOutgoing: false, verifyServerHostname: false };

function warned(protection: PortProtection): readonly [string, LogFields | undefined] | undefined {
  let seen: readonly [string, LogFields | undefined] | undefined;
  warnOfOpenPorts(protection, { ...noLog, warn: (message, fields) => (seen = [message, fields]) });
  return seen;
}

it('says nothing about ports that are protected or that nobody else reaches', () => {
  expect(warned({ addresses: OUTSIDE, policy: STRICT, certificate: true })).toBeUndefined();
  const inside = { server: { address: '127.0.0.1', port: 1 }, serf_wan: { address: '::1', port: 2 } };
  expect(warned({ addresses: inside, policy: PLAIN, certificate: false })).toBeUndefined();
});

it('names ports without any protection, and each half measure', () => {
  expect(warned({ addresses: OUTSIDE, policy: PLAIN, certificate: false })).toEqual([
    'the server ports are not protected by TLS: let only servers reach them',
    { addresses: ['0.0.0.0:8300'] },
  ]);
  for (const [missing, key] of [
    ['verifyIncoming', 'verify_incoming'],
    ['verifyOutgoing', 'verify_outgoing'],
    ['verifyServerHostname', 'verify_server_hostname'],
  ] as const) {
    const seen = warned({ addresses: OUTSIDE, policy: { ...STRICT, [missing]: false }, certificate: true });
    expect(seen?.[0]).toBe('the server ports are only partly protected by TLS');
    expect(seen?.[1]?.open).toEqual([expect.stringContaining(`set ${key}`)]);
  }
});
