import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { snapshotKey } from './snapshot-key.ts';

it('is kept whole or not at all, and made anew only where there is none', () => {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-snapshot-key-'));
  const key = snapshotKey(folder);
  mkdirSync(join(folder, 'snapshot.key.new')); // it can't be written
  expect(() => key.make()).toThrow("snapshot.key can't be written: EISDIR");
  expect(key.present()).toBeUndefined();
  rmSync(join(folder, 'snapshot.key.new'), { recursive: true });
  const made = key.make();
  expect(snapshotKey(folder).make()).toEqual(made);
  rmSync(folder, { recursive: true });
});
