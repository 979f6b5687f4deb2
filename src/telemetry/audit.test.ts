import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { type AuditLog, type AuditSinkOptions, createAudit } from './audit.ts';
import { createMetrics, type MetricsRegistry } from './metrics.ts';
import { type AuditRecord, type Logger, noLog } from './types.ts';

const RECORD: AuditRecord = {
  kind: 'http',
  accessor: 'a1',
  operation: 'PUT',
  endpoint: '/v1/config',
  remote: '10.0.0.1',
  datacenter: 'dc1',
  node: 'n1',
  status: '200',
  verdict: 'allowed',
};

let folder: string;
let metrics: MetricsRegistry;
let audit: AuditLog;
let told: string[];
const clock = new FakeClock();

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-audit-'));
  told = [];
});

afterEach(() => {
  audit.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(more: Partial<AuditSinkOptions> = {}): void {
  metrics = createMetrics({ clock, process: false });
  const tell = (message: string): void => void told.push(message);
  const log: Logger = { ...noLog, info: tell, error: tell };
  const sink = { name: 's', path: join(folder, 'audit', 'audit.json'), mode: 0o600, rotateBytes: 0, rotateMs: 0 };
  audit = createAudit({ sinks: [{ ...sink, rotateMaxFiles: 0, ...more }], clock, log, metrics });
}

const files = (): string[] => readdirSync(join(folder, 'audit')).sort();
const lines = (file = 'audit.json'): unknown[] =>
  readFileSync(join(folder, 'audit', file), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

it('writes a line for each change, in a file for its owner alone', () => {
  open();
  audit.record(RECORD);
  audit.record({ ...RECORD, verdict: 'denied', status: '403', error: 'Permission denied' });
  expect(lines()).toMatchObject([
    {
      event_type: 'audit',
      payload: {
        type: 'HTTPEvent',
        auth: { accessor_id: 'a1' },
        request: { operation: 'PUT', endpoint: '/v1/config', remote_addr: '10.0.0.1', datacenter: 'dc1', node: 'n1' },
        response: { status: '200', verdict: 'allowed' },
        stage: 'OperationComplete',
      },
    },
    { payload: { response: { status: '403', verdict: 'denied', error: 'Permission denied' } } },
  ]);
  const [first, second] = lines() as { payload: { id: string } }[];
  expect(first?.payload.id).not.toBe(second?.payload.id);
  expect(statSync(join(folder, 'audit', 'audit.json')).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, 'audit')).mode & 0o777).toBe(0o700);
});

it('puts files aside by size, keeps the newest of them, and loses no line', () => {
  open({ rotateBytes: 1_000, rotateMaxFiles: 2 });
  for (let at = 0; at < 10; at += 1) audit.record({ ...RECORD, endpoint: `/v1/config?n=${at}` });
  expect(files()).toHaveLength(3);
  expect(files()[0]).toMatch(/^audit-\d{13}\.json$/);
  const kept = files()
    .filter((file) => file !== 'audit.json')
    .concat('audit.json')
    .flatMap((file) => lines(file) as { payload: { request: { endpoint: string } } }[])
    .map(({ payload }) => Number(payload.request.endpoint.split('=')[1]));
  expect(kept).toEqual(Array.from({ length: kept.length }, (_, at) => 10 - kept.length + at));
});

it('puts files aside by age', async () => {
  open({ rotateMs: 60_000 });
  audit.record(RECORD);
  await clock.advance(59_999);
  audit.record(RECORD);
  expect(files()).toHaveLength(1);
  await clock.advance(1);
  audit.record(RECORD);
  expect(files()).toHaveLength(2);
  expect(lines()).toHaveLength(1);
});

it('counts what a failing disk swallows, says so once, and goes on when it works again', async () => {
  open();
  mkdirSync(join(folder, 'audit', 'audit.json'), { recursive: true }); // a folder where the file should be
  for (let at = 0; at < 3; at += 1) audit.record(RECORD);
  expect(told).toEqual(['the audit log cannot be written: changes go on without a record']);
  expect(await metrics.prometheus()).toContain('isthmus_audit_failures_total{sink="s"} 3');
  rmSync(join(folder, 'audit'), { recursive: true });
  audit.record(RECORD);
  expect(told).toHaveLength(2);
  expect(existsSync(join(folder, 'audit', 'audit.json'))).toBe(true);
  expect(readFileSync(join(folder, 'audit', 'audit.json'), 'utf8').trim()).toMatch(/^\{.*\}$/);
});
