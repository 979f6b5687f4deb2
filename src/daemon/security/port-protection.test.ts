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

it('says nothing about ports on which TLS alone is spoken, or that no other machine reaches', () => {
  expect(warned({ addresses: OUTSIDE, here: STRICT, elsewhere: STRICT, certificate: true })).toBeUndefined();
  const inside = { server: { address: '127.0.0.1', port: 1 }, serf_wan: { address: '::1', port: 2 } };
  expect(warned({ addresses: inside, here: PLAIN, elsewhere: PLAIN, certificate: false })).toBeUndefined();
});

it('says in one line what is open, and what to do', () => {
  const said = (protection: Omit<PortProtection, 'addresses'>): string => {
    const [text = '', fields] = warned({ addresses: OUTSIDE, ...protection }) ?? [];
    expect(fields).toEqual({ addresses: ['0.0.0.0:8300'] });
    return text;
  };
  expect(said({ here: PLAIN, elsewhere: PLAIN, certificate: false })).toMatch(/^allow_plaintext lets .* invite them/);
  expect(said({ here: PLAIN, elsewhere: STRICT, certificate: false })).toMatch(/no certificate.* -join-invite/);
  expect(said({ here: PLAIN, elsewhere: STRICT, certificate: true })).toMatch(/this machine alone.* an invitation/);
  const unnamed = { ...STRICT, verifyServerHostname: false };
  expect(said({ here: STRICT, elsewhere: unnamed, certificate: true })).toMatch(/set verify_server_hostname$/);
});
