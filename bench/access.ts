import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AgentProcess, startAgent, until } from '../test/harness/index.ts';
import { httpLoad, quantile, requestBytes, sendAll } from './http-load.ts';
import type { Figure, Row } from './rows.ts';

/** What checking a token costs: the same reads of two servers, one of which asks for tokens. */

const ROOT = '5f2f3f0c-1111-2222-3333-444455556666';
const READER = '5f2f3f0c-1111-2222-3333-444455557777';
const ROUNDS = 7;
const ROUND_MS = 600;

const READS = [
  ['/v1/health/service/x?passing, 50 instances', '/v1/health/service/x?passing'],
  ['intention check', '/v1/connect/intentions/check?source=web&destination=x'],
  ['CA roots', '/v1/connect/ca/roots'],
  ['service list', '/v1/catalog/services'],
] as const;

async function fill(agent: AgentProcess, token?: string): Promise<void> {
  const put = async (path: string, body: unknown): Promise<void> => {
    const { status, body: text } = await agent.http('PUT', path, body as object, headersOf(token));
    if (status !== 200) throw new Error(`PUT ${path}: ${status} ${text}`);
  };
  for (let number = 0; number < 50; number += 1)
    await put('/v1/catalog/register', {
      Node: `read-${number}`,
      Address: `10.1.0.${number}`,
      Service: { ID: `x-${number}`, Service: 'x', Port: 80 },
      Check: { CheckID: `c-${number}`, Name: 'c', Status: 'passing', ServiceID: `x-${number}` },
    });
  await put('/v1/connect/intentions/exact?source=web&destination=x', { SourceType: 'consul', Action: 'allow' });
  if (token === undefined) return;
  // Rights to some, not to all: what is shown has to be looked at.
  const Rules = 'service_prefix "x" { policy = "read" } node_prefix "" { policy = "read" }';
  await put('/v1/acl/policy', { Name: 'reader', Rules });
  await put('/v1/acl/token', { SecretID: READER, Policies: [{ Name: 'reader' }] });
}

const headersOf = (token: string | undefined): Record<string, string> =>
  token === undefined ? {} : { 'X-Consul-Token': token };

/** Ratios of rates measured in turn, so that whatever else the machine does meets both. */
export const access: Row = async (bed) => {
  if (bed.kind !== 'isthmus') return [];
  const dir = mkdtempSync(join(tmpdir(), 'isthmus-bench-access-'));
  const start = (name: string, config: object): Promise<AgentProcess> =>
    startAgent({
      name,
      datacenter: 'dc1',
      binary: bed.binary,
      dataDir: join(dir, name),
      config: { log_level: 'warn', ...config },
    });
  const acl = { enabled: true, default_policy: 'deny', tokens: { initial_management: ROOT, agent: ROOT } };
  const open = await start('open', {});
  const guarded = await start('guarded', { acl });
  try {
    await fill(open);
    await fill(guarded, ROOT);
    const figures: Figure[] = [];
    for (const [what, path] of READS) {
      const rate = async ({ ready }: AgentProcess, token?: string, milliseconds = ROUND_MS): Promise<number> => {
        const [host = '', port = ''] = ready.http.split(':');
        const target = { host, port: Number(port), connections: 32, headers: headersOf(token) };
        const { perSecond, failures } = await httpLoad({ ...target, path, milliseconds });
        if (failures > 0) throw new Error(`${path}: ${failures} requests failed`);
        return perSecond;
      };
      await rate(open);
      await rate(guarded, READER);
      const ratios: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        const without = await rate(open);
        ratios.push((await rate(guarded, READER)) / without);
      }
      figures.push({
        what: `${what}: with a token, as a share of without access control (p50)`,
        unit: '×',
        value: quantile(ratios, 0.5),
        samples: ROUNDS,
        goal: '≥ 0.85',
      });
    }
    return figures;
  } finally {
    await open.stop();
    await guarded.stop();
    rmSync(dir, { recursive: true, force: true });
  }
};

const TOKENS = 10_000;

/** How long the primary's table of tokens takes into another datacenter: while it is written, and as a whole. */
export const tokens: Row = async (bed) => {
  if (bed.kind !== 'isthmus') return [];
  const dir = mkdtempSync(join(tmpdir(), 'isthmus-bench-tokens-'));
  const acl = { enabled: true, default_policy: 'deny', enable_token_replication: true };
  const agents: AgentProcess[] = [];
  const start = async (datacenter: string, own: object, more: object = {}): Promise<AgentProcess> => {
    const agent = await startAgent({
      name: `${datacenter}-s1`,
      datacenter,
      binary: bed.binary,
      dataDir: join(dir, datacenter),
      config: { primary_datacenter: 'dc1', log_level: 'warn', acl: { ...acl, tokens: own }, ...more },
    });
    agents.push(agent);
    return agent;
  };
  const all = async (agent: AgentProcess): Promise<number> => {
    const { status, body } = await agent.http('GET', '/v1/acl/tokens', undefined, headersOf(ROOT));
    return status === 200 ? (JSON.parse(body) as unknown[]).length : 0;
  };
  const complete = async (agent: AgentProcess): Promise<number> => {
    await until(
      'all tokens',
      120_000,
      () => all(agent),
      (count) => count >= TOKENS,
    );
    return performance.now();
  };
  try {
    const dc1 = await start('dc1', { initial_management: ROOT });
    const role = { SecretID: READER, Roles: [{ Name: 'builtin/replication' }] };
    await dc1.http('PUT', '/v1/acl/token', role, headersOf(ROOT));
    const join_ = { retry_join_wan: [dc1.ready.serf_wan] };
    const dc2 = await start('dc2', { replication: READER }, join_);
    const [host = '', port = ''] = dc1.ready.http.split(':');
    const target = { host, port: Number(port), connections: 32, headers: headersOf(ROOT) };
    const grants = (at: number): object => ({ ServiceIdentities: [{ ServiceName: `s${at}` }] });
    const requests = Array.from({ length: TOKENS }, (_, at) =>
      requestBytes(target, 'PUT', '/v1/acl/token', grants(at)),
    );
    const { failures, perSecond } = await sendAll(target, requests);
    if (failures > 0) throw new Error(`${failures} tokens were not made`);
    const written = performance.now();
    const followed = (await complete(dc2)) - written;
    const begun = performance.now();
    const whole = (await complete(await start('dc3', { replication: READER }, join_))) - begun;
    const figure = (what: string, unit: string, value: number, goal: string): Figure => ({
      what,
      unit,
      value,
      samples: 1,
      goal,
    });
    return [
      figure('tokens created', '/s', perSecond, ''),
      figure('10,000 tokens, from the last acknowledged write until all are in dc2', 'ms', followed, 'seconds'),
      figure('10,000 tokens, from the start of a new datacenter until all are there', 's', whole / 1_000, 'seconds'),
    ];
  } finally {
    for (const agent of agents) await agent.stop();
    rmSync(dir, { recursive: true, force: true });
  }
};
