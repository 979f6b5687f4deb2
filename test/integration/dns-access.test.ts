import { Resolver } from 'node:dns/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../harness/wait-for.ts';
import { type AccessWorld, startAccessWorld } from './access-world.ts';

/** DNS sees what the agent's default token may see, at every moment. */
describe('DNS with access control', () => {
  let world: AccessWorld;
  beforeAll(async () => {
    world = await startAccessWorld();
  });
  afterAll(() => world?.agent.stop());

  const NAMES = ['web.service.consul', 'q.query.consul', 'n1.node.consul'];
  async function seen(): Promise<readonly string[]> {
    const resolver = new Resolver();
    resolver.setServers([world.agent.ready.dns ?? '']);
    const answers = NAMES.map((name) =>
      resolver.resolve4(name).then(
        () => [name],
        (error: NodeJS.ErrnoException) => (error.code === 'ENOTFOUND' ? [] : [`${name}: ${error.code}`]),
      ),
    );
    const pointers = resolver.resolvePtr('1.0.0.127.in-addr.arpa').catch(() => []);
    return [...(await Promise.all(answers)).flat(), ...(await pointers)];
  }
  const use = async (rules: string): Promise<unknown> =>
    world.asRoot('PUT', '/v1/agent/token/default', { Token: await world.secretWith(rules) });
  const becomes = (wanted: readonly string[]): Promise<unknown> =>
    waitFor(async () => (await seen()).join() === wanted.join(), { what: `seeing ${wanted.join(', ') || 'nothing'}` });

  it('shows nothing without a token', async () => {
    expect(await seen()).toEqual([]);
  });

  it('shows what the token may read, and no more once it may not', async () => {
    await use('node_prefix "" { policy = "read" }');
    await becomes(['n1.node.consul', 'n1.node.dc1.consul']);
    await use('node_prefix "" { policy = "read" } service "web" { policy = "read" }');
    await becomes([...NAMES, 'n1.node.dc1.consul']);
    await use('service "web" { policy = "read" }');
    await becomes([]);
  });

  it('goes by its own token before the default one', async () => {
    const Token = await world.secretWith('node_prefix "" { policy = "read" }');
    await world.asRoot('PUT', '/v1/agent/token/dns', { Token });
    await becomes(['n1.node.consul', 'n1.node.dc1.consul']);
    await world.asRoot('PUT', '/v1/agent/token/dns', { Token: '' });
    await becomes([]);
  });
});
