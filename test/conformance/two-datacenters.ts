import { type AgentProcess, startAgent, waitFor } from '../harness/index.ts';

export interface TwoDatacenters {
  readonly dc1: AgentProcess;
  readonly dc2: AgentProcess;
  stop(): Promise<void>;
}

/** Two datacenters as the recordings had them, each with one server; resolves once both work. */
export async function startTwoDatacenters(config: Readonly<Record<string, unknown>> = {}): Promise<TwoDatacenters> {
  const dc1 = await startAgent({ name: 'dc1-s1', datacenter: 'dc1', config: { primary_datacenter: 'dc1', ...config } });
  const dc2 = await startAgent({
    name: 'dc2-s1',
    datacenter: 'dc2',
    config: { primary_datacenter: 'dc1', retry_join_wan: [dc1.ready.serf_wan], ...config },
  });
  await waitFor(
    async () => {
      const known = await Promise.all([dc1, dc2].map((agent) => agent.http('GET', '/v1/catalog/datacenters')));
      const roots = await dc2.http('GET', '/v1/connect/ca/roots');
      return (
        known.every((answer) => answer.json<readonly string[]>().length === 2) &&
        roots.status === 200 &&
        roots.json<{ readonly Roots: readonly unknown[] | null }>().Roots?.length === 1
      );
    },
    { what: 'the federation of both datacenters' },
  );
  return {
    dc1,
    dc2,
    async stop() {
      await Promise.all([dc1.stop(), dc2.stop()]);
    },
  };
}
