import { describe, expect, it } from 'vitest';
import { requireDefaultTenancy, tenancyFault, tenancyOf } from './tenancy.ts';

describe('tenancy', () => {
  it('knows its fields in every spelling', () => {
    expect(tenancyOf('Namespace')).toBe('namespace');
    expect(tenancyOf('destination_namespace')).toBe('namespace');
    expect(tenancyOf('SOURCENS')).toBe('namespace');
    expect(tenancyOf('destination_peer')).toBe('peer');
    expect(tenancyOf('Name')).toBeUndefined();
  });

  it('takes "default" and what says nothing, and all where that is asked for', () => {
    for (const value of [undefined, null, '', 'default', 'Default'])
      expect(tenancyFault('namespace', value)).toBeUndefined();
    expect(tenancyFault('namespace', '*', true)).toBeUndefined();
    for (const value of ['*', 'team', ' default', 7, ['default'], {}])
      expect(tenancyFault('namespace', value)).toContain('there is no namespace');
    expect(tenancyFault('peer', 'default')).toBe('there are no peers here: leave it out');
  });

  it('says where the name was given', () => {
    expect(() => requireDefaultTenancy('partition', 'p', 'CONSUL_PARTITION')).toThrow(
      'CONSUL_PARTITION: there is no partition "p" here: a datacenter has one, "default"',
    );
  });
});
