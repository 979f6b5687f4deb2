import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BINARY } from '../harness/index.ts';
import { FILES, REGISTRATIONS } from './cli-catalog.ts';
import { type CommandOutcome, compareOutcome } from './cli-compare.ts';
import { KNOWN_COMMAND_DIFFERENCES, SKIPPED_COMMANDS } from './cli-known-differences.ts';
import { Relations } from './dynamic.ts';
import { loadCommands } from './recording.ts';
import { startTwoDatacenters, type TwoDatacenters } from './two-datacenters.ts';

/** Runs the commands that the real peer's program was given, and compares exit status and output. */
describe('the command line', () => {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-cli-'));
  const relations = new Relations();
  const differed = new Set<object>();
  let datacenters: TwoDatacenters;

  beforeAll(async () => {
    for (const [name, content] of Object.entries(FILES)) writeFileSync(join(folder, name), JSON.stringify(content));
    datacenters = await startTwoDatacenters();
    for (const { dc, body } of REGISTRATIONS) {
      const answer = await datacenters[dc].http('PUT', '/v1/catalog/register', body);
      expect(answer.body).toBe('true');
    }
  });

  afterAll(async () => {
    await datacenters?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const [at, recording] of loadCommands().entries()) {
    const command = recording.args.join(' ');
    if (SKIPPED_COMMANDS.some((skipped) => command.startsWith(skipped.command))) continue;
    it(`${at} ${command}`, async () => {
      const args = recording.args.map((arg) =>
        arg.replace('-http-addr=…', `-http-addr=${datacenters.dc1.ready.http}`).replace('DIR', folder),
      );
      const outcome = await run(args, folder);
      const known = KNOWN_COMMAND_DIFFERENCES.filter((difference) => command.startsWith(difference.command));
      const unknown = compareOutcome(recording, outcome, relations).filter((part) => {
        const entry = known.find((difference) => difference.at === part);
        if (entry !== undefined) differed.add(entry);
        return entry === undefined;
      });
      const lines = unknown.map((part) => `${part}: recorded ${show(recording[part])}, now ${show(outcome[part])}`);
      if (lines.length > 0) throw new Error(lines.join('\n'));
    });
  }

  it('every known difference still differs', () => {
    const gone = KNOWN_COMMAND_DIFFERENCES.filter((difference) => !differed.has(difference));
    expect(gone.map(({ command, at }) => `${command}: ${at}`)).toEqual([]);
  });
});

const show = (value: unknown): string => JSON.stringify(value);

function run(args: readonly string[], folder: string): Promise<CommandOutcome> {
  return new Promise((resolve) => {
    execFile(BINARY, args, { timeout: 20_000 }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      const name = (text: string): string => text.replaceAll(folder, 'DIR');
      resolve({ status, stdout: name(stdout), stderr: name(stderr) });
    });
  });
}
