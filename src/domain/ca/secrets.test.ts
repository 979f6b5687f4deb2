import { describe, expect, it } from 'vitest';
import { FakeCaLink, holderReport, startCa } from '../../../test/fakes/ca-datacenter.ts';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { generateKey, privateKeyToPem } from '../../pki/keys.ts';
import type { Counter, Gauge, Logger, Metrics } from '../../telemetry/types.ts';
import { KEY_TABLE } from './ca.ts';

const KEY = Buffer.alloc(32, 9);

/** The base64 of a PEM's body without line ends: how it would show in any text. */
function bodies(text: string): string[] {
  return [...text.matchAll(/-----BEGIN [A-Z ]*PRIVATE KEY-----(?:\\n|\n)([\s\S]*?)(?:\\n|\n)-----END/g)].map((match) =>
    (match[1] as string).replace(/\\n|\n/g, ''),
  );
}

describe('CA private keys', () => {
  it('show in no answer, log line or error, and only in their own table', async () => {
    const clock = new FakeClock();
    const lines: string[] = [];
    const write = (message: string, fields?: unknown): void => void lines.push(JSON.stringify({ message, fields }));
    const log: Logger = { debug: write, info: write, warn: write, error: write, child: () => log };
    const dc1 = await startCa('dc1', clock, { log, knownDatacenters: () => ['dc2'] });
    const link = new FakeCaLink(dc1);
    const dc2 = await startCa('dc2', clock, { log, primary: link });
    await clock.advance(1_000);
    const mine = privateKeyToPem(await generateKey({ type: 'ec', bits: 256 }));
    await dc1.ca.setConfig({ config: { Provider: 'consul', Config: { PrivateKey: mine } } });
    const damaged = mine.replace(/[A-Z]{2}/, '');
    const error = await dc1.ca
      .setConfig({ config: { Provider: 'consul', Config: { PrivateKey: damaged } } })
      .catch(String);
    await clock.advance(2_000);

    const rows = [...(await dc1.engine.range({ prefix: '' })).rows, ...(await dc2.engine.range({ prefix: '' })).rows];
    const secrets = rows.filter((row) => row.key.startsWith(`${KEY_TABLE}/`)).flatMap((row) => bodies(row.value));
    expect(secrets.length).toBeGreaterThanOrEqual(2);
    const reads = [dc1, dc2].flatMap(({ ca }) => Object.values(ca.reads).map((read) => read.produce({})));
    const shown = JSON.stringify([
      reads,
      lines,
      error,
      await dc2.leaf(),
      rows.filter((row) => !row.key.startsWith(`${KEY_TABLE}/`)),
    ]);
    for (const secret of [...secrets, ...bodies(mine)]) {
      // The private number of a P-256 key is in bytes 7 to 38 of its SEC 1 form; what follows is public.
      for (const part of [secret.slice(12, 32), secret.slice(32, 52)]) {
        expect(part).toHaveLength(20);
        expect(shown.includes(part)).toBe(false);
      }
    }
    expect(lines.length).toBeGreaterThan(3);
    await dc2.stop();
    await dc1.stop();
  });

  it('are encrypted at rest with the key of the operator, also those written before it was given', async () => {
    const clock = new FakeClock();
    const open = await startCa('dc1', clock);
    const { engine } = open;
    const stored = async (): Promise<string[]> =>
      (await engine.range({ prefix: `${KEY_TABLE}/` })).rows.map((row) => row.value);
    expect(bodies((await stored()).join(''))).toHaveLength(1);
    await open.stop();

    const sealed = await startCa('dc1', clock, { engine, keyEncryptionKey: KEY });
    expect(sealed.roots()).toEqual(open.roots());
    expect((await stored())[0]).toContain('sealed:v1:');
    await sealed.leaf();
    await sealed.ca.rotate({});
    await clock.advance(11_000);
    expect(bodies((await stored()).join(''))).toHaveLength(0);
    await sealed.stop();

    await expect(startCa('dc1', clock, { engine })).rejects.toMatchObject({
      code: 'rejected',
      message: 'the CA keys are encrypted: set connect.ca_key_encryption_file to their key',
    });
    await expect(startCa('dc1', clock, { engine, keyEncryptionKey: Buffer.alloc(32, 1) })).rejects.toMatchObject({
      code: 'rejected',
      message: expect.stringContaining('cannot be decrypted'),
    });
  });

  it('are made once though two servers start on the same store at the same time', async () => {
    const clock = new FakeClock();
    const first = await startCa('dc1', clock);
    const { engine } = first;
    await first.stop();
    for (const row of (await engine.range({ prefix: '' })).rows)
      await engine.txn({ compare: [], ops: [{ type: 'delete', key: row.key }] });
    const [a, b] = await Promise.all([startCa('dc1', clock, { engine }), startCa('dc1', clock, { engine })]);
    expect(a.roots()).toEqual(b.roots());
    expect(a.roots().Roots).toHaveLength(1);
    expect((await engine.range({ prefix: `${KEY_TABLE}/` })).rows).toHaveLength(1);
    await Promise.all([a.leaf(), b.leaf()]);
    await Promise.all([a.stop(), b.stop()]);
  });
});

describe('reports', () => {
  it('that are malformed are refused; the same again writes nothing; an empty one forgets the holder', async () => {
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock);
    for (const bad of [
      { Holder: '' },
      { Verifiers: -1 },
      { RootIDs: [1] },
      { LeavesByRoot: { a: 'x' } },
      { Pending: null },
    ])
      await expect(dc1.ca.reportHolder({ ...holderReport('n', {}), ...bad } as never)).rejects.toMatchObject({
        code: 'invalid_argument',
      });
    await expect(dc1.ca.reportDatacenter({} as never)).rejects.toMatchObject({ code: 'invalid_argument' });
    const report = holderReport('n1', {
      RootIDs: [dc1.roots().ActiveRootID],
      LeavesByRoot: { [dc1.roots().ActiveRootID]: 4 },
    });
    await dc1.ca.reportHolder(report);
    const { revision } = dc1.store;
    await dc1.ca.reportHolder(report);
    expect(dc1.store.revision).toBe(revision);
    expect(dc1.ca.reads['ca.rotation'].produce({})).toMatchObject({ Phase: 'idle', LeavesTotal: 4, Holds: [] });
    await dc1.ca.reportHolder(holderReport('n1', { Verifiers: 0 }));
    expect(dc1.ca.reads['ca.rotation'].produce({}).Datacenters).toMatchObject([{ Holders: 0, LeavesByRoot: {} }]);
    await dc1.stop();
  });
});

describe('metrics', () => {
  it('tell expiry, phase and signatures', async () => {
    const values = new Map<string, number>();
    const gauges: (() => void)[] = [];
    const counter = (name: string): Counter => ({
      add: (amount = 1, labels = {}) =>
        void values.set(
          `${name} ${Object.values(labels)}`,
          (values.get(`${name} ${Object.values(labels)}`) ?? 0) + amount,
        ),
    });
    const metrics: Metrics = {
      counter: ({ name }) => counter(name),
      gauge: ({ name }, collect): Gauge => {
        const set = (value: number, labels = {}): void => void values.set(`${name} ${Object.values(labels)}`, value);
        gauges.push(() => collect?.(set));
        return { set };
      },
      histogram: () => ({ observe: () => undefined }),
    };
    const clock = new FakeClock();
    const dc1 = await startCa('dc1', clock, { metrics });
    await dc1.leaf();
    await expect(dc1.ca.signLeaf({ csr: '' })).rejects.toThrow();
    await dc1.ca.rotate({});
    for (const collect of gauges) collect();
    expect(Object.fromEntries(values)).toMatchObject({
      'isthmus_ca_root_expiry_seconds ': 87_600 * 3_600,
      'isthmus_ca_intermediate_expiry_seconds ': 87_600 * 3_600,
      'isthmus_ca_rotation_phase idle': 0,
      'isthmus_ca_rotation_phase draining': 1,
      'isthmus_ca_leaf_signed_total service': 1,
      'isthmus_ca_leaf_refused_total invalid_argument': 1,
    });
    await dc1.stop();
  });
});
