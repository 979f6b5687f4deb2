import { afterAll, beforeAll, describe } from 'vitest';
import { httpRequest } from '../harness/index.ts';
import { KV_KNOWN_DIFFERENCES } from './kv-known-differences.ts';
import { KV_FILES, loadRecordings, type Recording } from './recording.ts';
import { Replay } from './replay.ts';
import { knownDifferencesTest, replayTests } from './replay-tests.ts';
import { startTwoDatacenters, type TwoDatacenters } from './two-datacenters.ts';

/** Bodies that the recording describes. */
const DESCRIBED: Readonly<Record<string, string>> = {
  '600,000 bytes': 'x'.repeat(600_000),
  '129 operations': JSON.stringify(Array.from({ length: 129 }, (_, n) => ({ KV: { Verb: 'get', Key: `k${n}` } }))),
};

const OURS = /^\/v1\/(?:kv|session|txn)\b/;

function recordings(file: (typeof KV_FILES)[number]): readonly Recording[] {
  return loadRecordings(file).filter(({ request }) => OURS.test(request.path));
}

/** Keys, locks, sessions and transactions: what the real Consul was asked, against two datacenters of ours. */
describe('answers about keys and sessions', () => {
  let datacenters: TwoDatacenters;
  const replay = new Replay(async (dc, method, path, body) => {
    const { ready } = datacenters[dc];
    const sent = body === undefined ? undefined : (DESCRIBED[body] ?? body);
    return httpRequest(`http://${ready.http}${path}`, { method, ...(sent !== undefined && { body: sent }) });
  }, KV_KNOWN_DIFFERENCES);

  beforeAll(async () => {
    datacenters = await startTwoDatacenters();
  });

  afterAll(async () => {
    await datacenters?.stop();
  });

  for (const file of KV_FILES) {
    describe(file, () => {
      replayTests(replay, file, recordings(file));
    });
  }

  knownDifferencesTest(replay);
});
