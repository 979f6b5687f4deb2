import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleScript } from '../harness/bundle.ts';

let script: string;

beforeAll(async () => {
  script = await bundleScript(join(import.meta.dirname, 'key-maker.ts'));
});

afterAll(() => rm(script));

// A key that was exported while the job that made it was collected froze the process (see src/pki/keys.ts).
describe('making keys', () => {
  it('goes on when memory is collected at any moment', async () => {
    const args = ['--gc-interval=53', script]; // a collection with every 53rd allocation
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 60_000, killSignal: 'SIGKILL' });
    expect(stdout).toBe('through\n');
  }, 70_000);
});
