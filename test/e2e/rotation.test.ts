import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CaRoots, RotationStatus } from '../../src/model/ca.ts';
import {
  assertNoneLeft,
  type Bed,
  callAgent,
  type MeshService,
  startBed,
  startLoad,
  waitFor,
} from '../harness/index.ts';
import { chainOfLeaf, presentedChain, rootOf } from './certificates.ts';

const NEW_PER_SECOND = 220;
const KEPT = 50;

describe('a root rotation under load', () => {
  let bed: Bed;
  let web: MeshService;
  let db: MeshService;

  beforeAll(async () => {
    bed = await startBed();
    ({ web, db } = await bed.webToDb());
  });
  afterAll(async () => {
    await bed?.stop();
    await assertNoneLeft();
  });

  it('fails no connection, moves every certificate of both datacenters, and ends with one root', async () => {
    const { dc1, dc2 } = bed;
    // Certificates that no sidecar holds move as well.
    const held = [
      { agent: dc1, service: 'web' },
      { agent: dc2, service: 'db' },
      { agent: dc1, service: 'native-one' },
      { agent: dc2, service: 'native-two' },
    ];
    for (const { agent, service } of held) await chainOfLeaf(agent, service);
    const load = await startLoad(web.upstreamPort, NEW_PER_SECOND, KEPT);
    const before = await callAgent<CaRoots>(dc1, 'GET', '/v1/connect/ca/roots');
    await waitFor(async () => load.counts.opened >= NEW_PER_SECOND, { what: 'load' });

    const { NewRootID } = await callAgent<{ NewRootID: string }>(dc1, 'PUT', '/v1/connect/ca/rotate');
    const startedAt = performance.now();
    let movedAfter: number | undefined;
    const phases: string[] = [];
    await waitFor(
      async () => {
        const { Phase } = await callAgent<RotationStatus>(dc1, 'GET', '/v1/connect/ca/rotation');
        if (phases.at(-1) !== Phase) phases.push(Phase);
        if (Phase === 'draining') movedAfter ??= Math.round(performance.now() - startedAt);
        return Phase === 'idle';
      },
      { what: 'the end of the rotation', timeout: 60_000 },
    );
    const took = Math.round(performance.now() - startedAt);
    const target = load.counts.opened + NEW_PER_SECOND;
    await waitFor(async () => load.counts.opened >= target, { what: 'load after the rotation' });
    const rate = load.rate();
    const counts = await load.stop();

    expect(counts.errors).toEqual([]);
    expect(counts).toMatchObject({ failed: 0, longLivedFailed: 0 });
    expect(rate).toBeGreaterThanOrEqual(200);
    expect(counts.longLivedAnswers).toBeGreaterThan(KEPT);
    expect(phases).toContain('draining');

    expect(NewRootID).not.toBe(before.ActiveRootID);
    let newRoot = '';
    for (const agent of bed.agents) {
      const roots = await waitFor(
        async () => {
          const answer = await callAgent<CaRoots>(agent, 'GET', '/v1/connect/ca/roots');
          return answer.Roots.length === 1 && answer;
        },
        { what: `one root in ${agent.name}` },
      );
      expect(roots.ActiveRootID).toBe(NewRootID);
      newRoot = roots.Roots[0]?.RootCert ?? '';
    }
    for (const { agent, service } of held) {
      expect(rootOf(await chainOfLeaf(agent, service), [newRoot])).toBe(newRoot);
    }
    for (const port of [db.port, web.port]) {
      expect(rootOf(await presentedChain(port), [newRoot])).toBe(newRoot);
    }
    console.log(
      `rotation: all certificates moved after ${movedAfter} ms, the old root gone after ${took} ms; ` +
        `${counts.opened} new connections (${Math.round(rate)}/s), ${counts.longLivedAnswers} answers on ${KEPT} ` +
        `kept ones, 0 failed`,
    );
  }, 90_000);
});
