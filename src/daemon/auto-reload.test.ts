import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import type { LoadedConfig } from '../config/types.ts';
import { noLog } from '../telemetry/types.ts';
import { createAutoReload } from './auto-reload.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-auto-reload-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const NO_FILES = { caFile: '', caPath: '', certFile: '', keyFile: '' };

async function started(sources: readonly string[], tls: Partial<typeof NO_FILES> = {}, fails = false) {
  const clock = new FakeClock();
  let reloads = 0;
  const errors: string[] = [];
  const config = { tls: { rpc: { ...NO_FILES, ...tls }, https: NO_FILES, grpc: NO_FILES } };
  const service = createAutoReload({
    sources,
    clock,
    log: { ...noLog, error: (_text: string, fields?: object) => errors.push(JSON.stringify(fields)) } as typeof noLog,
    reload: {
      loaded: () => ({ config }) as unknown as LoadedConfig,
      run: async () => {
        reloads += 1;
        if (fails) throw new Error('c.hcl:1: unknown key');
        return [];
      },
    },
  });
  await service.start(new AbortController().signal);
  const after = async (seconds: number): Promise<number> => {
    for (let second = 0; second < seconds; second += 1) await clock.advance(1_000);
    return reloads;
  };
  return { service, after, errors };
}

it('reloads once a file has changed and rests, and not before', async () => {
  const file = join(folder, 'c.hcl');
  writeFileSync(file, 'a');
  const { service, after } = await started([file]);
  expect(await after(3)).toBe(0);
  writeFileSync(file, 'ab');
  expect(await after(1)).toBe(0); // it may still be written
  writeFileSync(file, 'abc');
  expect(await after(1)).toBe(0);
  expect(await after(1)).toBe(1);
  expect(await after(3)).toBe(1);
  await service.stop();
});

it('sees a file that takes the place of another, that goes, or that appears in a directory', async () => {
  mkdirSync(join(folder, 'd'));
  const file = join(folder, 'd', 'c.hcl');
  writeFileSync(file, 'same');
  const { service, after } = await started([join(folder, 'd')]);
  expect(await after(2)).toBe(0);
  writeFileSync(join(folder, 'new'), 'same');
  renameSync(join(folder, 'new'), file);
  expect(await after(3)).toBe(1);
  writeFileSync(join(folder, 'd', 'e.json'), '{}');
  expect(await after(3)).toBe(2);
  rmSync(file);
  expect(await after(3)).toBe(3);
  await service.stop();
});

it('follows the files of certificates and keys', async () => {
  const key = join(folder, 'key.pem');
  writeFileSync(key, 'old');
  const { service, after } = await started([], { keyFile: key });
  writeFileSync(key, 'newer');
  expect(await after(3)).toBe(1);
  await service.stop();
});

it('says once that what is there now is not valid, and goes on', async () => {
  const file = join(folder, 'c.hcl');
  writeFileSync(file, 'a');
  const { service, after, errors } = await started([file], {}, true);
  writeFileSync(file, 'ab');
  expect(await after(5)).toBe(1);
  expect(errors).toEqual(['{"error":"c.hcl:1: unknown key"}']);
  writeFileSync(file, 'abc');
  expect(await after(3)).toBe(2);
  await service.stop();
});
