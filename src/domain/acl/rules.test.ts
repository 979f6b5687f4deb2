import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IsthmusError } from '../../lib/errors.ts';
import type { Access } from '../../model/rights.ts';
import { CompiledRights } from './compiled-rights.ts';
import { type Level, parseRules } from './rules.ts';

describe('parseRules', () => {
  it('reads HCL and JSON alike', () => {
    const hcl =
      'operator = "read" service "web" { policy = "write" intentions = "deny" } key_prefix "a/" { policy = "list" }';
    const json = JSON.stringify({
      operator: 'read',
      service: { web: { policy: 'write', intentions: 'deny' } },
      key_prefix: [{ 'a/': { policy: 'list' } }],
    });
    expect(parseRules(json)).toEqual(parseRules(hcl));
    expect(parseRules(hcl)).toEqual([
      { resource: 'operator', name: '', prefix: true, level: 'read' },
      { resource: 'key', name: 'a/', prefix: true, level: 'list' },
      { resource: 'service', name: 'web', prefix: false, level: 'write' },
      { resource: 'intention', name: 'web', prefix: false, level: 'deny' },
    ]);
  });

  it.each([
    ['acl = "list"', 'Invalid acl policy: "list"'],
    ['mesh = "list"', 'Invalid mesh policy: "list"'],
    ['peering = "fly"', 'Invalid peering policy: "fly"'],
    ['agent "a" { policy = "fly" }', 'Invalid agent policy: &acl.AgentRule{Node:"a", Policy:"fly"}'],
    [
      'node_prefix "a" { policy = "list" }',
      'Invalid node_prefix policy: &acl.NodeRule{Name:"a", Policy:"list", EnterpriseRule:acl.EnterpriseRule{}}',
    ],
    [
      'service "a" { policy = "read" intentions = "x" }',
      'Invalid service intentions policy: &acl.ServiceRule{Name:"a", Policy:"read", Intentions:"x", ' +
        'EnterpriseRule:acl.EnterpriseRule{}}',
    ],
    ['service = "read"', 'Failed to parse ACL rules: service takes a name and a block'],
    ['service "a" {', 'Failed to parse ACL rules: rules:1: the block is not closed by "}"'],
  ])('refuses %s', (text, message) => {
    expect(() => parseRules(text)).toThrow(new IsthmusError('rejected', message));
  });

  it('reads a kept rule that was once passed over as one that refuses', () => {
    for (const resource of ['mesh', 'peering'])
      expect(parseRules(`${resource} = "fly"`, { kept: true })).toEqual([
        { resource, name: '', prefix: true, level: 'deny' },
      ]);
    expect(() => parseRules('operator = "fly"', { kept: true })).toThrow('Invalid operator policy');
  });

  it('reads or refuses any text', () => {
    const words = [
      'service',
      '"web"',
      '{',
      '}',
      'policy',
      '=',
      '"read"',
      '"x"',
      '_prefix',
      '[',
      ']',
      'acl',
      ':',
      ',',
      '\n',
    ];
    const soup = fc.array(fc.constantFrom(...words), { maxLength: 30 }).map((parts) => parts.join(' '));
    fc.assert(
      fc.property(fc.oneof(soup, fc.string({ maxLength: 60 }), fc.json()), (text) => {
        try {
          expect(Array.isArray(parseRules(text))).toBe(true);
        } catch (error) {
          expect(error).toBeInstanceOf(IsthmusError);
          expect((error as IsthmusError).code).toBe('rejected');
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('compiled rights', () => {
  const STRENGTH: Readonly<Record<Level, number>> = { deny: 9, write: 3, list: 2, read: 1 };

  it('decide as a plain search of the rules would', () => {
    const name = fc.stringMatching(/^[ab]{0,3}$/);
    const rule = fc.record({
      resource: fc.constant('node' as const),
      name,
      prefix: fc.boolean(),
      level: fc.constantFrom<Level>('deny', 'read', 'write'),
    });
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 8 }),
        name,
        fc.constantFrom<Access>('read', 'write'),
        fc.boolean(),
        (rules, asked, access, defaultAllow) => {
          const fitting = rules
            .filter((one) => (one.prefix ? asked.startsWith(one.name) : asked === one.name))
            .sort(
              (a, b) =>
                Number(a.prefix) - Number(b.prefix) ||
                b.name.length - a.name.length ||
                STRENGTH[b.level] - STRENGTH[a.level],
            );
          const [first] = fitting;
          const expected =
            first === undefined ? defaultAllow : first.level !== 'deny' && STRENGTH[first.level] >= STRENGTH[access];
          expect(new CompiledRights(rules, { defaultAllow }).may('node', asked, access)).toBe(expected);
        },
      ),
    );
  });

  it('hold for every spelling of a name that is found in any, and for keys in one only', () => {
    const rules = parseRules(`
      service "Bank" { policy = "deny" }
      service_prefix "Shop-" { policy = "write", intentions = "write" }
      node "NODE1" { policy = "write" }
      key "Config" { policy = "write" }
    `);
    const rights = new CompiledRights(rules, { defaultAllow: false });
    for (const name of ['bank', 'BANK', 'Bank']) expect(rights.may('service', name, 'read')).toBe(false);
    for (const name of ['shop-a', 'SHOP-a']) {
      expect(rights.may('service', name, 'write')).toBe(true);
      expect(rights.may('intention', name, 'write')).toBe(true);
    }
    expect(rights.may('node', 'node1', 'write')).toBe(true);
    expect([rights.may('key', 'Config', 'write'), rights.may('key', 'config', 'write')]).toEqual([true, false]);
    const both = parseRules('service "bank" { policy = "write" } service "BANK" { policy = "deny" }');
    expect(new CompiledRights(both, { defaultAllow: true }).may('service', 'bank', 'read')).toBe(false);
  });
});
