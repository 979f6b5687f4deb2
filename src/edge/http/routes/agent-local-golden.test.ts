import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CatalogDatacenter, startCatalogDatacenter } from '../../../../test/fakes/catalog-contract.ts';
import { FakeClock } from '../../../../test/fakes/fake-clock.ts';
import { type Recording, recordings } from '../../../../test/fakes/golden.ts';
import { startTestEdge, type TestEdge } from '../../../../test/fakes/http-edge.ts';
import { createLocalState } from '../../../agent/local/local-state.ts';
import type { LocalState } from '../../../agent/local/types.ts';
import { noLog, noMetrics } from '../../../telemetry/types.ts';
import { agentCheckRoutes } from './agent-checks.ts';
import { agentServiceRoutes } from './agent-services.ts';

const OURS = /^\/v1\/agent\/(service|services|check|checks|health|maintenance)\b/;

/** The hash is ours; whether the listening check has run yet is a matter of time. */
function stable(path: string, body: unknown): unknown {
  if (path === '/v1/agent/checks') {
    const checks = structuredClone(body) as Record<string, { Type: string; Output: string }>;
    for (const check of Object.values(checks)) if (check.Type === 'tcp') check.Output = '';
    return checks;
  }
  if (typeof body !== 'object' || body === null || !('ContentHash' in body)) return body;
  expect(body.ContentHash).toMatch(/^[0-9a-f]{16}$/);
  return { ...body, ContentHash: 'hash' };
}

/** The current edition of Consul has more kinds of checks and names them. */
function currentText(body: unknown): unknown {
  if (typeof body !== 'string') return body;
  return body.replace('Script, HTTP, or TCP checks', 'Script, HTTP, H2PING, TCP, UDP or OSService checks');
}

describe('recorded answers', () => {
  const clock = new FakeClock();
  let datacenter: CatalogDatacenter;
  let local: LocalState;
  let edge: TestEdge;

  beforeAll(async () => {
    datacenter = await startCatalogDatacenter();
    local = createLocalState(
      { contract: datacenter.contract, clock, log: noLog, metrics: noMetrics, random: () => 0.5 },
      {
        node: 'dc1-s1',
        nodeId: 'e469ff2b-1972-df40-b7c2-177c8515ac4a',
        datacenter: 'dc1',
        address: '127.0.0.1',
        taggedAddresses: { lan: '127.0.0.1' },
      },
    );
    await local.start(new AbortController().signal);
    edge = await startTestEdge({
      routes: [...agentServiceRoutes({ local, datacenter: 'dc1' }), ...agentCheckRoutes({ local })],
    });
  });
  afterAll(async () => {
    await edge.stop();
    await local.stop();
    await datacenter.stop();
  });

  const replay = async ({ request, response }: Recording): Promise<void> => {
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    const answer = await edge.send(request.method, request.path, body);
    await clock.advance(0); // aliases follow
    expect({ status: answer.status, type: answer.headers['content-type'] }).toEqual({
      status: response.status,
      type: response.headers['content-type'],
    });
    const json = answer.headers['content-type'] === 'application/json';
    const given: unknown = json ? JSON.parse(answer.body) : answer.body;
    expect(stable(request.path, given)).toEqual(stable(request.path, currentText(response.body)));
  };

  for (const recording of recordings('agent.json')) {
    const { request } = recording;
    if (!OURS.test(request.path)) continue;
    it(`${request.method} ${request.path} ${JSON.stringify(request.body ?? '').slice(0, 70)}`, () => replay(recording));
  }

  it('leave the catalog with what the agent has', async () => {
    await expect.poll(() => local.synced).toBe(true);
    const rows = datacenter.catalog.reads['catalog.nodeServices'].produce({ node: 'dc1-s1' });
    expect(rows?.Services.map((service) => service.ID)).toEqual(local.services().map((service) => service.ID));
    const checks = datacenter.catalog.reads['health.node'].produce({ node: 'dc1-s1' });
    expect(checks.map((check) => [check.CheckID, check.Status])).toEqual(
      local.checks().map((check) => [check.CheckID, check.Status]),
    );
  });
});
