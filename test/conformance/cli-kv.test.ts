import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AgentProcess, BINARY, startAgent } from '../harness/index.ts';
import { type CommandOutcome, compareOutcome } from './cli-compare.ts';
import { Relations } from './dynamic.ts';
import { loadCommands } from './recording.ts';

/** What differs on purpose. */
const DIFFERENCES: readonly { readonly command: RegExp; readonly at: keyof CommandOutcome; readonly reason: string }[] =
  [
    {
      command: /^kv import .*-prefix/,
      at: 'stderr',
      reason: 'the current edition has -prefix; the recording shows Consul’s help, which says that it does not know it',
    },
    { command: /^kv import .*-prefix/, at: 'stdout', reason: 'as above' },
    { command: /^kv import .*-prefix/, at: 'status', reason: 'as above' },
  ];

/** Keys that the recordings before it had left. */
const LEFT = ['Case', 'a b/c?', 'a/b', 'a/c', 'a/d/e', 'a/d/f', 'a/flags', 'bin', 'empty', 'lock', 'new', 't/a', 'z'];

/** Runs the commands on keys and locks that the real peer's program was given, and compares. */
describe('the command line of keys and locks', () => {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-cli-kv-'));
  const relations = new Relations();
  const differed = new Set<object>();
  let agent: AgentProcess;

  beforeAll(async () => {
    const value = Buffer.from('imported').toString('base64');
    writeFileSync(join(folder, 'kv.json'), JSON.stringify([{ key: 'imp/a', flags: 0, value }]));
    agent = await startAgent({ name: 'n1', datacenter: 'dc1' });
    for (const key of LEFT)
      expect((await agent.http('PUT', `/v1/kv/${key.split('/').map(encodeURIComponent).join('/')}`)).status).toBe(200);
  });

  afterAll(async () => {
    await agent?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const [at, recording] of loadCommands('cli-kv').entries()) {
    const command = recording.args.join(' ');
    it(`${at} ${command}`, async () => {
      const args = recording.args.map((arg) =>
        arg.replace('-http-addr=…', `-http-addr=${agent.ready.http}`).replace('DIR', folder),
      );
      const outcome = await run(args, recording.stdin);
      const unknown = compareOutcome(recording, outcome, relations).filter((part) => {
        const known = DIFFERENCES.find((difference) => difference.at === part && difference.command.test(command));
        if (known !== undefined) differed.add(known);
        return known === undefined;
      });
      const lines = unknown.map(
        (part) => `${part}: recorded ${JSON.stringify(recording[part])}, now ${JSON.stringify(outcome[part])}`,
      );
      if (lines.length > 0) throw new Error(lines.join('\n'));
    });
  }

  it('every known difference still differs', () => {
    expect(DIFFERENCES.filter((difference) => !differed.has(difference))).toEqual([]);
  });
});

async function run(args: readonly string[], stdin = '[]'): Promise<CommandOutcome> {
  const child = spawn(BINARY, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined); // most read none
  child.stdin.end(stdin);
  const ended = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1)));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { status: await ended, stdout, stderr };
}
