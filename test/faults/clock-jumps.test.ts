import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { LeafCert } from '../../src/model/ca.ts';
import { assertNoneLeft, callAgent, startAgent, waitFor } from '../harness/index.ts';

const compiles = spawnSync('cc', ['--version']).status === 0;
const folder = mkdtempSync(join(tmpdir(), 'isthmus-clock-'));
const DAY = 86_400;

afterAll(async () => {
  rmSync(folder, { recursive: true });
  await assertNoneLeft();
});

describe.skipIf(!compiles)(`a running agent${compiles ? '' : ' (skipped: no cc here)'}`, () => {
  it('replaces at once what it made by a clock that was ten days ahead, when it is back', async () => {
    const library = join(folder, 'shifted-clock.so');
    execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(import.meta.dirname, 'shifted-clock.c'), '-ldl']);
    const shift = join(folder, 'shift');
    const set = (seconds: number): void => writeFileSync(shift, String(seconds));
    set(0);
    const agent = await startAgent({
      name: 's1',
      datacenter: 'dc1',
      config: { tls: { internal_rpc: { managed: true } } },
      env: { LD_PRELOAD: library, CLOCK_SHIFT: shift },
    });
    try {
      const leaf = (query = ''): Promise<LeafCert> => callAgent(agent, 'GET', `/v1/agent/connect/ca/leaf/web${query}`);
      const own = async (): Promise<number> =>
        Date.parse(
          (await callAgent<{ Stats: { tls: Record<string, string> } }>(agent, 'GET', '/v1/agent/self')).Stats.tls
            .internal_rpc_expires ?? '',
        );
      const [first, firstOwn] = [await leaf(), await own()];
      set(10 * DAY); // both have ended by this clock
      const ahead = await leaf(`?index=${first.ModifyIndex}&wait=20s`);
      expect(Date.parse(ahead.ValidAfter)).toBeGreaterThan(Date.now() + 9 * DAY * 1_000);
      await waitFor(async () => (await own()) > firstOwn + 9 * DAY * 1_000, { what: 'the certificate of that time' });
      set(0);
      const back = await waitFor(
        async () => {
          const served = await leaf();
          return Date.parse(served.ValidAfter) <= Date.now() ? served : undefined;
        },
        { what: 'the leaf of now', timeout: 5_000 },
      );
      expect(Date.parse(back.ValidBefore)).toBeGreaterThan(Date.now() + DAY * 1_000);
      await waitFor(async () => (await own()) < firstOwn + DAY * 1_000, { what: 'the certificate of now' });
      const metrics = (await agent.http('GET', '/v1/agent/metrics?format=prometheus')).body;
      for (const direction of ['forward', 'back'])
        expect(metrics).toMatch(new RegExp(`^isthmus_clock_jumps_total\\{.*direction="${direction}".*\\} 1$`, 'm'));
      expect(agent.log()).toContain('the clock of this machine jumped');
    } finally {
      await agent.stop();
    }
  }, 60_000);
});
