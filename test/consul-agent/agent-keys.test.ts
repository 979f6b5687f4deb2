import { describe, expect, it } from 'vitest';
import { AGENT_FLAGS } from '../../src/cli/commands/agent-flags.ts';
import type { Key } from '../../src/config/keys/key.ts';
import { KEYS } from '../../src/config/keys/table.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { LoadedConfig } from '../../src/config/types.ts';
import { IsthmusError } from '../../src/lib/errors.ts';
import { CONSUL_FLAGS, CONSUL_KEYS, ENTERPRISE_KEYS, OLDER_KEYS } from './agent-keys.ts';

/** `disable_compat_1.9` has a dot of its own. */
const partsOf = (path: string): readonly string[] =>
  path.endsWith('_1.9') ? ['telemetry', 'disable_compat_1.9'] : path.split('.');

/** The row of a key, or that of the block around it which is taken as a whole. */
function rowOf(path: string): { readonly path: string; readonly key: Key<unknown> } | undefined {
  const parts = partsOf(path);
  for (let end = parts.length; end > 0; end -= 1) {
    const known = parts.slice(0, end).join('.');
    const key = KEYS.get(known);
    if (key !== undefined) return { path: known, key };
  }
  return undefined;
}

/** A file that holds nothing but one key. */
function fileWith(path: string, value: unknown): string {
  const nested = partsOf(path).reduceRight<unknown>((inside, part) => ({ [part]: inside }), value);
  return JSON.stringify(nested);
}

function load(text: string): LoadedConfig | readonly string[] {
  try {
    return loadConfig(
      { flags: {}, sources: [{ kind: 'file', path: 'c.json' }], dev: true },
      { readFile: () => text, listDir: () => undefined, hostname: () => 'h', interfaces: () => [] },
    );
  } catch (error) {
    const { message, details } = IsthmusError.from(error);
    return (details.problems as readonly string[] | undefined) ?? [message];
  }
}

describe("the keys of Consul's agent", () => {
  const all = [...CONSUL_KEYS, ...ENTERPRISE_KEYS, ...OLDER_KEYS];

  it('stand in the list once each', () => {
    expect(new Set(all).size).toBe(all.length);
    expect(all.length).toBeGreaterThan(300);
  });

  it.each(all)('%s is known, and what is not done says so', (path) => {
    const row = rowOf(path);
    expect(row).toBeDefined();
    const { key, path: known } = row!;
    if (key.effect === 'used') return;
    const loaded = load(fileWith(path, 'x'));
    if (key.effect === 'refused') {
      expect(loaded).toEqual([`c.json:1: "${known}" is refused: ${key.doc}`]);
      // What turns nothing on is taken.
      expect(load(fileWith(path, false))).toMatchObject({ noEffect: [known] });
      return;
    }
    expect(loaded).not.toBeInstanceOf(Array);
    const { noEffect, warnings } = loaded as LoadedConfig;
    if (key.effect === 'harmless') expect(noEffect).toContain(known);
    else expect(warnings).toContain(`c.json:1: "${known}" has no effect here: ${key.doc}`);
  });

  it.each(ENTERPRISE_KEYS)('%s says that it is one of Consul Enterprise, or works here', (path) => {
    const { key } = rowOf(path)!;
    if (key.effect !== 'used') expect(key.doc).toContain('of Consul Enterprise');
  });

  it('are all that is listed as without effect', () => {
    const covered = new Set(all.map((path) => rowOf(path)?.path));
    const others = [...KEYS].filter(([path, key]) => key.effect !== 'used' && !covered.has(path));
    expect(others.map(([path]) => path)).toEqual([]);
  });

  it('unknown ones are errors, all at once, each with its line and the nearest known name', () => {
    const text = '{"datacentre": "dc1",\n"ports": {"grpc_tsl": 1},\n"tls": {"defaults": {"verify_incomming": true}}}';
    expect(load(text)).toEqual([
      'c.json:1: unknown key "datacentre"; did you mean "datacenter"?',
      'c.json:2: unknown key "ports.grpc_tsl"; did you mean "grpc_tls"?',
      'c.json:3: unknown key "tls.defaults.verify_incomming"; did you mean "verify_incoming"?',
    ]);
  });

  it.each(CONSUL_FLAGS)('the flag -%s is known', (name) => {
    expect(AGENT_FLAGS.map((flag) => flag.name)).toContain(name);
  });
});
