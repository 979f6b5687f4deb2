import { describe, expect, it } from 'vitest';
import { type Routing, readTarget, writeTarget } from './routing.ts';

const secondary: Routing = {
  datacenter: 'dc2',
  primaryDatacenter: 'dc1',
  isLocalToken: (accessor) => accessor === 'local',
};

describe('who decides a write', () => {
  it('is the datacenter that is asked, the one that is named, or the primary', () => {
    expect(writeTarget(secondary, 'queries.delete', { id: 'x' }, undefined)).toBeUndefined();
    expect(writeTarget(secondary, 'queries.delete', { id: 'x' }, 'dc3')).toBe('dc3');
    expect(writeTarget(secondary, 'catalog.register', { Datacenter: 'dc3' }, undefined)).toBe('dc3');
    expect(writeTarget(secondary, 'catalog.register', { Datacenter: 'dc3' }, 'dc2')).toBeUndefined();
    expect(writeTarget(secondary, 'config.apply', { entry: {} }, 'dc3')).toBe('dc1');
    expect(writeTarget({ ...secondary, datacenter: 'dc1' }, 'config.apply', { entry: {} }, 'dc3')).toBeUndefined();
  });

  it('of a report about a datacenter is who is asked, whatever datacenter it is about', () => {
    const report = { Datacenter: 'dc3' } as never;
    expect(writeTarget(secondary, 'ca.reportDatacenter', report, undefined)).toBeUndefined();
    expect(writeTarget(secondary, 'ca.reportDatacenter', report, 'dc1')).toBe('dc1');
  });

  it('about a token is who owns it', () => {
    const target = (name: 'acl.cloneToken' | 'acl.deleteToken', accessor: string, wanted?: string) =>
      writeTarget(secondary, name, { accessor }, wanted);
    expect(target('acl.deleteToken', 'local')).toBeUndefined();
    expect(target('acl.cloneToken', 'global')).toBe('dc1');
    expect(target('acl.deleteToken', 'local', 'dc3')).toBe('dc3');
    expect(writeTarget(secondary, 'acl.createToken', { token: { Local: true } }, undefined)).toBeUndefined();
    expect(writeTarget(secondary, 'acl.createToken', { token: {} }, undefined)).toBe('dc1');
    expect(writeTarget(secondary, 'acl.updateToken', { token: { AccessorID: 'local' } }, undefined)).toBeUndefined();
  });
});

describe('who answers a read', () => {
  it('is the datacenter that is asked, and the primary for a rotation, unless one is named', () => {
    expect(readTarget(secondary, 'catalog.nodes', undefined)).toBeUndefined();
    expect(readTarget(secondary, 'ca.rotation', undefined)).toBe('dc1');
    expect(readTarget(secondary, 'ca.rotation', 'dc2')).toBeUndefined();
    expect(readTarget(secondary, 'catalog.nodes', 'dc3')).toBe('dc3');
  });
});
