import { describe, expect, it } from 'vitest';
import { parseName } from './names.ts';

describe('names', () => {
  const lookup = (name: string, type = 'A') => parseName(name.toLowerCase(), type, ['consul', 'mesh.example'])?.lookup;

  it.each([
    ['db.service.consul', { kind: 'service', name: 'db', tag: '', datacenter: '' }],
    ['DB.Service.DC2.Mesh.Example', { kind: 'service', name: 'db', tag: '', datacenter: 'dc2' }],
    ['v1.2.db.service.consul', { kind: 'service', name: 'db', tag: 'v1.2', datacenter: '' }],
    ['_db._tcp.service.consul', { kind: 'service', name: 'db', tag: '', datacenter: '' }],
    ['_db._v1.service.dc2.consul', { kind: 'service', name: 'db', tag: 'v1', datacenter: 'dc2' }],
    ['db.connect.consul', { kind: 'connect', name: 'db', tag: '', datacenter: '' }],
    ['a.b.node.consul', { kind: 'node', name: 'a.b', datacenter: '' }],
    ['geo-db.query.consul', { kind: 'query', name: 'geo-db', datacenter: '' }],
    ['0a000001.addr.dc1.consul', { kind: 'addr', address: '10.0.0.1' }],
    ['20010db8000000000000000000000001.addr.consul', { kind: 'addr', address: '2001:db8::1' }],
    ['zz.addr.consul', { kind: 'invalid' }],
    ['db.service.a.b.consul', { kind: 'invalid' }],
    ['service.consul', { kind: 'invalid' }],
    ['web%20.service.consul', { kind: 'invalid' }],
    ['*.service.consul', { kind: 'invalid' }],
    ['*.node.consul', { kind: 'invalid' }],
    ['a/../b.node.consul', { kind: 'invalid' }],
    ['..service.consul', { kind: 'invalid' }],
    [' web.service.consul', { kind: 'invalid' }],
    ['web\u0000.service.consul', { kind: 'invalid' }],
    ['web\u200b.connect.consul', { kind: 'invalid' }],
    ['\ufffd.service.consul', { kind: 'invalid' }],
    ['*.web.service.consul', { kind: 'invalid' }],
    ['_web%2f._tcp.service.consul', { kind: 'invalid' }],
    ['_._tcp.service.consul', { kind: 'invalid' }],
    ['geo%20.query.consul', { kind: 'invalid' }],
    ['geo\n.query.consul', { kind: 'invalid' }],
    ['web.service.dc%31.consul', { kind: 'invalid' }],
    ['web.service.*.consul', { kind: 'invalid' }],
    ['web.service..consul', { kind: 'invalid' }],
    ['a/b.c.web.service.consul', { kind: 'service', name: 'web', tag: 'a/b.c', datacenter: '' }],
    ['prod/geo.query.consul', { kind: 'query', name: 'prod/geo', datacenter: '' }],
    ['bogus.consul', { kind: 'invalid' }],
    ['consul', { kind: 'apex' }],
    ['1.0.0.10.in-addr.arpa', { kind: 'reverse', address: '10.0.0.1' }],
    [
      '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa',
      { kind: 'reverse', address: '2001:db8::1' },
    ],
    ['notconsul', undefined],
    ['db.service.example.com', undefined],
    ['0a000001.addr.nowhere.consul', { kind: 'addr', address: '10.0.0.1' }],
    ['1.0.10.in-addr.arpa', undefined],
    ['_db._tcp.consul', { kind: 'invalid' }],
  ])('%s', (name, wanted) => {
    expect(lookup(name)).toEqual(wanted);
  });

  it.each([
    ['_db._tcp.consul', { kind: 'service', name: 'db', tag: '', datacenter: '' }],
    ['_db._v1.dc2.consul', { kind: 'service', name: 'db', tag: 'v1', datacenter: 'dc2' }],
    ['_db._v1.service.dc2.consul', { kind: 'service', name: 'db', tag: 'v1', datacenter: 'dc2' }],
  ])('%s for SRV', (name, wanted) => {
    expect(lookup(name, 'SRV')).toEqual(wanted);
  });
});
