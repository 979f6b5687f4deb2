import { describe, expect, it } from 'vitest';
import { runCommand as run } from '../../test/fakes/command-line.ts';
import { KEY_FLAGS } from '../config/keys/table.ts';
import { COMMANDS } from './commands.ts';
import { GROUP_ABOUT } from './help.ts';

const groups = [
  ...new Set(COMMANDS.flatMap(({ path }) => path.slice(1).map((_, index) => path.slice(0, index + 1).join(' ')))),
];

describe('an unknown command', () => {
  it.each([
    ['membrs', 'unknown command "membrs"; did you mean "members"?', 127],
    ['conect', 'unknown command "conect"; did you mean "connect"?', 127],
    ['rotate', 'unknown command "rotate"; did you mean "connect ca rotate"?', 127],
    ['nonsense', 'unknown command "nonsense"', 127],
    ['catalog nods', 'unknown command "catalog nods"; did you mean "nodes"?', 1],
    ['connect ca rotat -watch', 'unknown command "connect ca rotat"; did you mean "rotate"?', 1],
    ['help membrs', 'unknown command "membrs"; did you mean "members"?', 127],
    ['help catalog nods', 'unknown command "catalog nods"; did you mean "nodes"?', 1],
    ['members nods', 'Too many arguments (expected 0, got 1)', 1],
  ])('%s', async (line, text, code) => {
    const { status, stdout, stderr } = await run(line.split(' '));
    expect({ status, stdout }).toEqual({ status: code, stdout: '' });
    expect(stderr.split('\n')[0]).toBe(text);
    expect(stderr).toContain('Usage: isthmus');
  });

  it('nothing after a group is no mistake of a word', async () => {
    expect((await run([])).stderr).toMatch(/^Usage: isthmus <command>/);
    expect((await run([])).status).toBe(127);
    expect(await run(['catalog'])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^Usage: isthmus catalog <command>/),
    });
  });
});

it('refuses what stands behind the arguments that a command takes', async () => {
  for (const command of COMMANDS) {
    if (command.argsUsage?.includes('…') === true) continue;
    const { status, stderr } = await run([...command.path, 'a', 'b', 'c']);
    expect({ status, text: stderr.split('\n')[0] }, command.path.join(' ')).toEqual({
      status: command.failureCode ?? 1,
      text: expect.stringMatching(/^Too many arguments \(expected [012], got 3\)$/),
    });
  }
});

describe('help', () => {
  const forms = (path: string): readonly (readonly string[])[] => [
    ['help', ...path.split(' ')],
    ...['-h', '-help', '--help'].map((flag) => [...path.split(' '), flag]),
  ];

  it.each(COMMANDS.map(({ path }) => path.join(' ')))('of "%s" fits 80 columns, in every form', async (path) => {
    for (const words of forms(path)) {
      const { status, stdout, stderr } = await run(words);
      expect({ status, stderr }, words.join(' ')).toEqual({ status: 0, stderr: '' });
      expect(stdout).toContain(`Usage: isthmus ${path} [options]`);
      for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    }
  });

  it.each(['', ...groups])('of the group "%s" says what it is for and fits 80 columns', async (group) => {
    for (const words of group === '' ? [['help'], ['-h'], ['--help']] : forms(group)) {
      const { status, stdout, stderr } = await run(words);
      expect({ status, stderr }, words.join(' ')).toEqual({ status: 0, stderr: '' });
      if (group !== '') expect(stdout).toContain(GROUP_ABOUT[group] ?? 'a description is missing');
      for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    }
  });

  it('says "may be repeated" where all values count, and only there', async () => {
    const { stdout } = await run(['help', 'agent']);
    const repeated = [...stdout.matchAll(/^ {2}-([a-z_-]+)[^\n]*\n((?: {5}[^\n]*\n)+)/gm)].flatMap(([, name, text]) =>
      text?.replaceAll(/\s+/g, ' ').includes('May be repeated') === true ? [name] : [],
    );
    const lists = KEY_FLAGS.filter(({ key }) => key.kind.merge !== undefined).map(({ name }) => name);
    expect(repeated.sort()).toEqual(['config-dir', 'config-file', 'hcl', ...lists].sort());
    expect(lists).toContain('retry-join');
    expect(lists).not.toContain('node');
  });
});
