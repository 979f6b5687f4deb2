import { describe, expect, it } from 'vitest';
import { ruleWarnings } from './acl-rule-kinds.ts';

describe('rules without effect', () => {
  it.each([
    ['', []],
    ['acl = "read" keyring = "read" mesh = "read" operator = "read" peering = "read"', []],
    ['service "a" { policy = "read" intentions = "read" } key_prefix "" { policy = "list" }', []],
    ['{"service":{"a":{"policy":"read"}},"node_prefix":[{"":{"policy":"read"}}]}', []],
    ['partition "a" { mesh = "write" }', ['the rule "partition" has no effect: there are no admin partitions']],
    ['identity_prefix "" { policy = "read" }', ['the rule "identity_prefix" has no effect: the v2 API is not here']],
    ['mesh_prefix "" { policy = "read" }', ['the rule "mesh_prefix" has no effect: there is no such rule']],
    ['constructor = "x"', ['the rule "constructor" has no effect: there is no such rule']],
    ['key "a" { policy = "write" sentinel { code = "x" } }', ['"sentinel" in rules of "key" has no effect']],
    ['node "a" { policy = "read" intentions = "read" }', ['"intentions" in rules of "node" has no effect']],
    [JSON.stringify({ 'a\r\nb: c': 'read' }), ['the rule with another name has no effect: there is no such rule']],
  ])('of %s', (rules, warnings) => expect(ruleWarnings(rules)).toEqual(warnings));

  it('are few lines, however many there are', () => {
    const rules = Array.from({ length: 1_000 }, (_one, at) => `r${at} = "read"`).join('\n');
    expect(ruleWarnings(rules)).toHaveLength(8);
  });
});
