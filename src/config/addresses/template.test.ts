import { describe, expect, it } from 'vitest';
import type { InterfaceAddress } from '../types.ts';
import { expandTemplate } from './template.ts';

const face = (name: string, cidr: string, more: Partial<InterfaceAddress> = {}): InterfaceAddress => {
  const [address = '', prefix] = cidr.split('/');
  const family = address.includes(':') ? 6 : 4;
  return { name, address, family, internal: false, prefix: Number(prefix), flags: 0x1003, ...more };
};

/** A machine with a loopback, a private network by which everything goes, a second one, and a public address. */
const MACHINE: readonly InterfaceAddress[] = [
  face('lo', '127.0.0.1/8', { internal: true, flags: 9 }),
  face('lo', '::1/128', { internal: true, flags: 9 }),
  face('eth1', '192.168.7.20/28'),
  face('eth0', '10.1.2.3/16', { isDefault: true }),
  face('eth0', 'fd00:1::5/64', { isDefault: true }),
  face('eth0', 'fe80::1234/64', { isDefault: true }),
  face('wan0', '8.8.4.4/24', { flags: 0x11 }),
];

const expand = (template: string): string => expandTemplate(template, MACHINE);

describe('templates of addresses', () => {
  it.each([
    // From the documentation of Consul and of go-sockaddr.
    ['{{ GetPrivateIP }}', '10.1.2.3'],
    ['{{ GetPrivateIPs }}', '10.1.2.3 192.168.7.20 fd00:1::5'],
    ['{{ GetPublicIP }}', '8.8.4.4'],
    ['{{GetPublicIPs}}', '8.8.4.4'],
    ['{{ GetInterfaceIP "eth0" }}', '10.1.2.3'],
    ['{{ GetInterfaceIP "^lo$" }}', '127.0.0.1'],
    ['{{ GetInterfaceIPs "eth0" }}', '10.1.2.3 fd00:1::5 fe80::1234'],
    ['{{ GetPrivateInterfaces | include "network" "10.0.0.0/8" | attr "address" }}', '10.1.2.3'],
    ['{{ GetPrivateInterfaces | include "network" "172.16.0.0/12|192.168.0.0/16" | attr "address" }}', '192.168.7.20'],
    ['{{ GetPrivateInterfaces | exclude "type" "IPv6" | join "address" " " }}', '10.1.2.3 192.168.7.20'],
    ['{{ GetPrivateInterfaces | include "type" "ipv6" | attr "address" }}', 'fd00:1::5'],
    ['{{ GetDefaultInterfaces | exclude "type" "IPv6" | attr "address" }}', '10.1.2.3'],
    [
      '{{ GetAllInterfaces | include "name" "^eth" | include "flags" "forwardable|up" | limit 1 | attr "name" }}',
      'eth1',
    ],
    ['{{ GetAllInterfaces | include "flags" "loopback" | join "address" "," }}', '127.0.0.1,::1'],
    ['{{ GetAllInterfaces | include "flag" "link-local unicast" | attr "address" }}', 'fe80::1234'],
    ['{{ GetAllInterfaces | include "flag" "point-to-point" | attr "name" }}', 'wan0'],
    ['{{ GetAllInterfaces | include "rfc" "1918" | sort "-address" | join "address" " " }}', '192.168.7.20 10.1.2.3'],
    ['{{ GetAllInterfaces | include "rfc" "1918|4193" | sort "type,size" | join "name" " " }}', 'eth0 eth1 eth0'],
    ['{{ GetAllInterfaces | include "size" "/28" | attr "address" }}', '192.168.7.20'],
    ['{{ GetAllInterfaces | include "address" "^10\\\\." | attr "string" }}', '10.1.2.3/16'],
    [
      '{{ GetAllInterfaces | exclude "flags" "loopback" | sort "default,-type,address" | attr "address" }}',
      'fd00:1::5',
    ],
    ['{{ GetAllInterfaces | sort "name" | unique "name" | join "name" "/" }}', 'eth0/eth1/lo/wan0'],
    ['{{ GetPrivateInterfaces | offset 1 | attr "address" }}', 'fd00:1::5'],
    ['{{ GetPrivateInterfaces | sort "type,address" | offset "-1" | attr "address" }}', 'fd00:1::5'],
    ['{{ GetPrivateInterfaces | include "type" "IPv4" | math "address" "+256" | attr "address" }}', '10.1.3.3'],
    ['{{ GetPrivateInterfaces | include "type" "IPv4" | math "address" "-256" | attr "address" }}', '10.1.1.3'],
    ['{{ GetPrivateInterfaces | include "type" "IPv4" | math "network" "+2" | attr "address" }}', '10.1.0.2'],
    ['{{ GetPrivateInterfaces | include "type" "IPv4" | math "network" "-2" | attr "address" }}', '10.1.255.254'],
    ['{{ GetPrivateInterfaces | include "name" "eth1" | math "network" "+17" | attr "address" }}', '192.168.7.17'],
    ['{{ GetPrivateInterfaces | include "name" "eth1" | math "mask" "24" | attr "string" }}', '192.168.7.0/24'],
    ['{{ GetPrivateInterfaces | include "type" "IPv6" | math "address" "+255" | attr "address" }}', 'fd00:1::104'],
    [
      '{{ GetPrivateInterfaces | include "type" "IPv6" | math "network" "-1" | attr "address" }}',
      'fd00:1::ffff:ffff:ffff:ffff',
    ],
    ['{{ attr "address" (GetPrivateInterfaces | limit 1) }}', '10.1.2.3'],
    ['{{ . | include "name" `^wan` | attr "network" }}', '8.8.4.0'],
    ['unix:///run/{{ GetPrivateIP }}.sock', 'unix:///run/10.1.2.3.sock'],
    ['127.0.0.1 {{- " " -}} {{ GetPrivateIP }}', '127.0.0.1 10.1.2.3'],
  ])('%s', (template, expected) => {
    expect(expand(template)).toBe(expected);
  });

  it('knows every attribute', () => {
    const of = (name: string, attribute: string): string =>
      expand(`{{ GetAllInterfaces | include "name" "^${name}$" | attr "${attribute}" }}`);
    expect(of('eth1', 'first_usable')).toBe('192.168.7.17');
    expect(of('eth1', 'last_usable')).toBe('192.168.7.30');
    expect(of('eth1', 'broadcast')).toBe('192.168.7.31');
    expect(of('eth1', 'size')).toBe('16');
    expect(of('eth1', 'netmask')).toBe('255.255.255.240');
    expect(of('eth1', 'mask_bits')).toBe('28');
    expect(of('eth1', 'octets')).toBe('192 168 7 20');
    expect(of('eth1', 'hex')).toBe('c0a80714');
    expect(of('eth1', 'binary')).toBe('11000000101010000000011100010100');
    expect(of('eth1', 'uint32')).toBe('3232237332');
    expect(of('eth1', 'type')).toBe('IPv4');
    expect(of('eth1', 'flags')).toBe('up|broadcast|multicast');
  });

  it.each([
    ['{{ GetMagic }}', 'there is no function GetMagic; there are GetAllInterfaces, '],
    ['{{ GetPrivateInterfaces }}', 'gives a list: end it with | attr "address" or | join "address" " "'],
    ['{{ GetPrivateInterfaces | include "network" "10.0.0.0/99" | attr "address" }}', '"10.0.0.0/99" is no network'],
    ['{{ GetPrivateInterfaces | include "colour" "red" | attr "address" }}', `can't select by "colour"; use address`],
    ['{{ GetPrivateInterfaces | include "type" | attr "address" }}', 'include needs a list of addresses'],
    ['{{ GetPrivateInterfaces | sort "luck" | attr "address" }}', `can't sort by "luck"; use address`],
    ['{{ GetPrivateInterfaces | attr "colour" }}', 'addresses have no "colour"; use name'],
    ['{{ GetPrivateInterfaces | math "address" "2" | attr "address" }}', 'takes a number with its sign'],
    ['{{ GetPrivateInterfaces | offset 9 | attr "address" }}', 'offset 9 is beyond the 3 addresses'],
    ['{{ with $a := GetPrivateInterfaces }}', `it can't be read from "$a := GetPrivateInterfaces" on`],
    ['{{ range GetPrivateInterfaces }}', 'range is not offered: one expression gives one text'],
    ['{{ GetPrivateInterfaces | include "rfc" "1" | attr "address" }}', 'RFC 1 is not known; use 919'],
    ['{{ }}', 'it is empty'],
    ['{{ (GetPrivateIP }}', 'a ) is missing'],
    ['{{ GetPrivateInterfaces | include "name" "tun" | attr "address" }}', 'found no address on this machine'],
    ['{{ "constructor" | constructor }}', 'there is no function constructor'],
  ])('%s is refused with what to do', (template, because) => {
    expect(() => expand(template)).toThrow(because);
  });
});
