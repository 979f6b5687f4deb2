import { afterAll, beforeAll, describe } from 'vitest';
import { httpRequest } from '../harness/index.ts';
import { KNOWN_DIFFERENCES } from './known-differences.ts';
import { HTTP_FILES, loadRecordings } from './recording.ts';
import { Replay } from './replay.ts';
import { knownDifferencesTest, replayTests } from './replay-tests.ts';
import { startTwoDatacenters, type TwoDatacenters } from './two-datacenters.ts';

/** Replays what the real Consul was asked against two datacenters of ours, and compares every answer. */
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
      replayTests(replay, file, loadRecordings(file));
    });
  }

  knownDifferencesTest(replay);
});
