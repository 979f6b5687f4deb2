import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { httpRequest } from '../harness/index.ts';
import { describeDifference } from './compare.ts';
import { KNOWN_DIFFERENCES } from './known-differences.ts';
import { HTTP_FILES, loadRecordings } from './recording.ts';
import { Replay } from './replay.ts';
import { startTwoDatacenters, type TwoDatacenters } from './two-datacenters.ts';

/** Replays what the real peer was asked against two datacenters of ours, and compares every answer. */
describe('answers of the HTTP API', () => {
  let datacenters: TwoDatacenters;
  const replay = new Replay(async (dc, method, path, body) => {
    const { ready } = datacenters[dc];
    return httpRequest(`http://${ready.http}${path}`, { method, ...(body !== undefined && { body }) });
  }, KNOWN_DIFFERENCES);

  beforeAll(async () => {
    datacenters = await startTwoDatacenters();
  });

  afterAll(async () => {
    await datacenters?.stop();
  });

  for (const file of HTTP_FILES) {
    describe(file, () => {
      for (const [at, recording] of loadRecordings(file).entries()) {
        const { method, path } = recording.request;
        it(`${at} ${recording.name}: ${method} ${path} in ${recording.dc}`, async () => {
          const differences = await replay.step(file, recording);
          // An error of its own: an assertion would shorten the lines.
          if (differences.length > 0) throw new Error(differences.map(describeDifference).join('\n'));
        });
      }
    });
  }

  it('every known difference still differs', () => {
    expect(
      replay
        .gone()
        .map(({ file, name, at }) => `${file} ${name} ${at.source}`)
        .join('\n'),
    ).toBe('');
  });
});
