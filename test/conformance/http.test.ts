import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AgentProcess, httpRequest, startAgent, waitFor } from '../harness/index.ts';
import { KNOWN_DIFFERENCES, SKIPPED } from './known-differences.ts';
import { HTTP_FILES, loadRecordings } from './recording.ts';
import { Replay } from './replay.ts';

/** Replays what the real peer was asked against two datacenters of ours, and compares every answer. */
describe('answers of the HTTP API', () => {
  const agents = new Map<string, AgentProcess>();
  const replay = new Replay(async (dc, method, path, body) => {
    const agent = agents.get(dc) as AgentProcess;
    return httpRequest(`http://${agent.ready.http}${path}`, { method, ...(body !== undefined && { body }) });
  }, KNOWN_DIFFERENCES);

  beforeAll(async () => {
    const dc1 = await startAgent({ name: 'dc1-s1', datacenter: 'dc1', config: { primary_datacenter: 'dc1' } });
    agents.set('dc1', dc1);
    const dc2 = await startAgent({
      name: 'dc2-s1',
      datacenter: 'dc2',
      config: { primary_datacenter: 'dc1', retry_join_wan: [dc1.ready.serf_wan] },
    });
    agents.set('dc2', dc2);
    await waitFor(
      async () => {
        const known = await Promise.all([dc1, dc2].map((agent) => agent.http('GET', '/v1/catalog/datacenters')));
        const roots = await dc2.http('GET', '/v1/connect/ca/roots');
        return (
          known.every((answer) => answer.json<readonly string[]>().length === 2) &&
          roots.status === 200 &&
          roots.json<{ Roots: readonly unknown[] }>().Roots.length > 0
        );
      },
      { what: 'the federation of both datacenters' },
    );
  });

  afterAll(async () => {
    await Promise.all([...agents.values()].map((agent) => agent.stop()));
  });

  for (const file of HTTP_FILES) {
    describe(file, () => {
      for (const [at, recording] of loadRecordings(file).entries()) {
        if (SKIPPED.some((skipped) => skipped.file === file && skipped.name === recording.name)) continue;
        const { method, path } = recording.request;
        it(`${at} ${recording.name}: ${method} ${path} in ${recording.dc}`, async () => {
          expect(await replay.step(file, recording)).toEqual([]);
        });
      }
    });
  }

  it('every known difference still differs', () => {
    expect(replay.gone()).toEqual([]);
  });
});
