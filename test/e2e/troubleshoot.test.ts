import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assertNoneLeft, type Bed, callAgent, isthmus, startBed, waitFor } from '../harness/index.ts';

let bed: Bed;
let http: string;

beforeAll(async () => {
  bed = await startBed();
  await bed.webToDb();
  http = `-http-addr=${bed.dc1.ready.http}`;
}, 180_000);
afterAll(async () => {
  await bed?.stop();
  await assertNoneLeft();
});

interface Report {
  readonly Healthy: boolean;
  readonly Sections: readonly {
    readonly Title: string;
    readonly Findings: readonly { readonly OK: boolean; readonly Text: string; readonly Hint?: string }[];
  }[];
}

async function report(...args: readonly string[]): Promise<Report & { readonly code: number | null }> {
  const { code, out, err } = await isthmus(['troubleshoot', ...args, '-format=json']);
  if (out === '') throw new Error(err);
  return { code, ...(JSON.parse(out) as Report) };
}

const wrong = ({ Sections }: Report): readonly string[] =>
  Sections.flatMap(({ Findings }) => Findings.filter(({ OK }) => !OK).map(({ Text }) => Text));

describe('isthmus troubleshoot', () => {
  it('finds nothing wrong with a proxy that serves, and says what it looked at', async () => {
    const healthy = await waitFor(
      async () => {
        const found = await report('proxy', http, '-sidecar-for=web');
        return found.Healthy && found;
      },
      { what: 'a healthy proxy', timeout: 60_000 },
    );
    expect(healthy.code).toBe(0);
    const texts = healthy.Sections.flatMap(({ Findings }) => Findings.map(({ Text }) => Text));
    for (const text of [
      /^It is valid for another .*, as spiffe:\/\/.*\/dc\/dc1\/svc\/web$/,
      /^Its authority is one that the datacenter trusts$/,
      /^It takes connections: TCP connect /,
      /^web may connect to db: /,
      /^db in dc2: 1 of 1 instances in the mesh are healthy$/,
    ])
      expect(texts).toContainEqual(expect.stringMatching(text));
    const { out } = await isthmus(['troubleshoot', 'upstreams', http]);
    expect(out).toMatch(
      /^==> web-sidecar-proxy: Upstream service db in dc2 at 127\.0\.0\.1:\d+\n ✓ web may connect to db/,
    );
  }, 120_000);

  it('names the rule that denies, what would allow it, and what fails elsewhere', async () => {
    const intention = { SourceName: 'web', DestinationName: 'db', SourceType: 'consul', Action: 'deny' };
    await callAgent(bed.dc1, 'POST', '/v1/connect/intentions', intention);
    await callAgent(bed.dc2, 'PUT', '/v1/agent/service/maintenance/db?enable=true&reason=disks');
    const broken = await waitFor(
      async () => {
        const found = await report('upstreams', http);
        return wrong(found).length === 2 && found;
      },
      { what: 'both faults', timeout: 60_000 },
    );
    expect(broken.code).toBe(1);
    expect(wrong(broken)).toEqual([
      expect.stringMatching(/^web may not connect to db: /),
      'db in dc2: 0 of 1 instances in the mesh are healthy',
    ]);
    const [denied, unhealthy] = broken.Sections.flatMap(({ Findings }) => Findings);
    expect(denied?.Hint).toMatch(/web/);
    expect(unhealthy?.Hint).toMatch(/Service Maintenance Mode/);
  }, 120_000);

  it('says that nothing listens for a proxy that was never started', async () => {
    const idle = { Name: 'idle', Port: 1, Connect: { SidecarService: {} } };
    await callAgent(bed.dc1, 'PUT', '/v1/agent/service/register', idle);
    const found = await waitFor(
      async () => {
        const now = await report('proxy', http, '-sidecar-for=idle');
        return wrong(now).some((text) => text.includes('connection refused')) && now;
      },
      { what: 'the closed port', timeout: 60_000 },
    );
    expect(wrong(found)).toContainEqual(
      expect.stringMatching(/^Nothing takes connections for it: dial tcp .*refused$/),
    );
    const several = await isthmus(['troubleshoot', 'proxy', http]);
    expect([several.code, several.err]).toEqual([
      1,
      expect.stringContaining('name one with -sidecar-for or -proxy-id'),
    ]);
    const none = await isthmus(['troubleshoot', 'proxy', http, '-sidecar-for=none']);
    expect([none.code, none.err]).toEqual([1, 'No sidecar proxy registered for none\n']);
  }, 120_000);

  it('tells open ports from closed ones', async () => {
    const open = Number(bed.dc1.ready.http.split(':').at(-1));
    const found = await report('ports', `-ports=${open}`);
    expect(found).toMatchObject({ code: 0, Healthy: true });
    const closed = await report('ports', `-ports=${open},1`);
    expect(closed.code).toBe(1);
    expect(wrong(closed)).toEqual(['TCP 1: closed, nothing listens']);
    const nonsense = await isthmus(['troubleshoot', 'ports', '-ports=x']);
    expect([nonsense.code, nonsense.err]).toEqual([1, '"x" is no port\n']);
  }, 60_000);
});

it('snapshots are kept by "snapshot agent" and shown by "snapshot decode"', async () => {
  await callAgent(bed.dc1, 'PUT', '/v1/agent/service/register', { Name: 'shown-in-a-snapshot' });
  const { mkdtempSync, readdirSync, rmSync } = await import('node:fs');
  const { spawn } = await import('node:child_process');
  const { BINARY } = await import('../harness/index.ts');
  const dir = mkdtempSync('/tmp/isthmus-snapshots-');
  const child = spawn(BINARY, ['snapshot', 'agent', http, '-interval=200ms', '-retain=2', `-local-path=${dir}`]);
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  try {
    await waitFor(async () => out.includes('Removed '), { what: 'a third snapshot', timeout: 60_000 });
  } finally {
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('close', resolve));
  }
  const files = readdirSync(dir);
  expect(files.length).toBeLessThanOrEqual(3);
  const decoded = await isthmus(['snapshot', 'decode', `${dir}/${files[0]}`]);
  expect(decoded.code).toBe(0);
  const rows = decoded.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { Type: string; Key: string; Data: unknown });
  expect(rows.find(({ Type, Key }) => Type === 'services' && Key.includes('shown-in-a-snapshot'))).toBeDefined();
  rmSync(dir, { recursive: true, force: true });
}, 120_000);

it('"services export" says why it is not there', async () => {
  const { code, err } = await isthmus(['services', 'export', '-name=web']);
  expect([code, err]).toEqual([127, expect.stringMatching(/^"services export" is left out on purpose: .*no peers/)]);
}, 60_000);
