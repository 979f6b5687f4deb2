import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import type { CaRoots, LeafCert, RotationStatus } from '../../src/model/ca.ts';
import { ask, assertNoneLeft, type Bed, callAgent, httpRequest, isthmus, startBed, waitFor } from '../harness/index.ts';
import { bytesBelow, formsOf, foundIn, type SecretForm } from './secret-forms.ts';
import { rowsOf } from './store-rows.ts';

const PAGES = [
  '/v1/agent/self',
  '/v1/agent/metrics',
  '/v1/agent/metrics?format=prometheus',
  '/v1/connect/ca/roots',
  '/v1/connect/ca/configuration',
  '/v1/connect/ca/rotation',
  '/v1/connect/ca/status',
  '/v1/agent/connect/ca/roots',
  '/v1/internal/replication',
  '/v1/internal/links',
  '/v1/config/service-intentions',
  '/v1/agent/services',
];

let bed: Bed | undefined;
afterEach(async () => {
  await bed?.stop();
  bed = undefined;
  await assertNoneLeft();
});

describe("each datacenter's private keys", () => {
  it('are in no other store, not on the WAN, in no log and in no answer', async () => {
    const wan = new Map<string, Buffer[]>();
    bed = await startBed({
      config: { log_level: 'debug' },
      onWanBytes: (chunk, { connection, fromDialler }) => {
        const key = `${connection} ${fromDialler}`;
        const pieces = wan.get(key) ?? [];
        pieces.push(Buffer.from(chunk));
        wan.set(key, pieces);
      },
    });
    const { dc1, dc2, agents } = bed;
    const { web, db } = await bed.webToDb();
    await callAgent(dc1, 'PUT', '/v1/connect/intentions/exact?source=web&destination=db', {
      SourceType: 'consul',
      Action: 'allow',
      Description: 'a text that must cross the WAN',
    });
    // Keys come and go: another root, and with it another intermediate.
    const oldKeys = await keysWhileRunning(bed);
    await callAgent(dc1, 'PUT', '/v1/connect/ca/rotate');
    await waitFor(
      async () => (await callAgent<RotationStatus>(dc1, 'GET', '/v1/connect/ca/rotation')).Phase === 'draining',
      { what: 'the rotation' },
    );
    await ask(web.upstreamPort, 'hello');
    const leaves = await Promise.all([
      callAgent<LeafCert>(dc1, 'GET', '/v1/agent/connect/ca/leaf/web'),
      callAgent<LeafCert>(dc2, 'GET', '/v1/agent/connect/ca/leaf/db'),
    ]);
    const answers: string[] = [];
    for (const agent of agents) {
      for (const page of PAGES) answers.push((await agent.http('GET', page)).body);
      for (const args of [['info'], ['connect', 'ca', 'get-config'], ['connect', 'ca', 'status']])
        answers.push((await isthmus([...args, '-http-addr', agent.ready.http])).out);
    }
    for (const { sidecar } of [web, db])
      answers.push((await httpRequest(`http://${sidecar.ready.metrics}/metrics`)).body);
    expect(answers.every((answer) => answer.length > 0)).toBe(true);

    await bed.stop();
    const own = [await caKeys(dc1.dataDir), await caKeys(dc2.dataDir)] as const;
    expect(own.every((keys) => keys.length > 0)).toBe(true);
    const stores = [bytesBelow(dc1.dataDir), bytesBelow(dc2.dataDir)] as const;
    const onWan = Buffer.concat([...wan.values()].map((pieces) => Buffer.concat(pieces)));
    const logs = Buffer.concat([...agents, web.sidecar, db.sidecar].map(({ logFile }) => readFileSync(logFile)));
    // What should be there is: the search sees what it is meant to see.
    expect(onWan.includes('a text that must cross the WAN')).toBe(true);
    for (const [at, keys] of own.entries())
      expect(foundIn(stores[at] as Buffer, keys.flatMap(formsOf)).length).toBeGreaterThan(0);

    const caForms: readonly SecretForm[][] = own.map((keys) => [...keys, ...oldKeys].flatMap(formsOf));
    const leafForms = leaves.flatMap(({ PrivateKeyPEM }) => formsOf(PrivateKeyPEM));
    const all = [...caForms.flat(), ...leafForms];
    expect(foundIn(stores[1], (own[0] as string[]).flatMap(formsOf))).toEqual([]);
    expect(foundIn(stores[0], (own[1] as string[]).flatMap(formsOf))).toEqual([]);
    expect(foundIn(onWan, all)).toEqual([]);
    expect(foundIn(logs, all)).toEqual([]);
    expect(logs.includes('PRIVATE KEY')).toBe(false);
    expect(onWan.includes('PRIVATE KEY')).toBe(false);
    expect(foundIn(Buffer.from(answers.join('\n')), all)).toEqual([]);
    expect(answers.join('\n')).not.toContain('PRIVATE KEY');
    // Leaf keys live in memory only.
    for (const store of stores) expect(foundIn(store, leafForms)).toEqual([]);
    console.log(
      `${all.length} forms of keys looked for in ${onWan.length} bytes of the WAN and ${logs.length} of logs: none ` +
        `found`,
    );
  }, 60_000);
});

/** The roots' IDs change with a rotation, so that a second look finds further keys; the first look needs a stop. */
async function keysWhileRunning({ dc1 }: Bed): Promise<string[]> {
  await dc1.stop();
  const keys = await caKeys(dc1.dataDir);
  await dc1.restart();
  await waitFor(async () => (await callAgent<CaRoots>(dc1, 'GET', '/v1/connect/ca/roots?dc=dc2')).Roots.length === 1, {
    what: 'the federation after the restart',
  });
  return keys;
}

/** CA keys of a stopped datacenter, as PEM. */
async function caKeys(dataDir: string): Promise<string[]> {
  const rows = await rowsOf(dataDir, 'ca-keys/');
  return rows.map(({ value }) => (JSON.parse(value) as { readonly key: string }).key);
}
