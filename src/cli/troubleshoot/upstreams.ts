import type { AgentService } from '../../client/agent.ts';
import type { Client } from '../../client/client.ts';
import type { DiscoveryChain } from '../../model/discovery-chain.ts';
import { bad, type Finding, good, lookedAt, type Section } from './findings.ts';

type Upstream = NonNullable<AgentService['Proxy']['Upstreams']>[number];

/** Of a proxy: may it connect to what it names, and is there anything to connect to? */
export function upstreamSections(client: Client, proxy: AgentService): Promise<readonly Section[]> {
  const source = proxy.Proxy.DestinationServiceName || proxy.Service;
  return Promise.all(
    (proxy.Proxy.Upstreams ?? []).map(async (upstream) => ({
      title: titleOf(upstream),
      findings:
        upstream.DestinationType === 'prepared_query'
          ? await lookedAt('The query', () => queryFindings(client, upstream.DestinationName))
          : [
              ...(await lookedAt('The verdict', () => verdictFindings(client, source, upstream))),
              ...(await lookedAt('What it leads to', () => targetFindings(client, upstream))),
            ],
    })),
  );
}

function titleOf({ DestinationType, DestinationName, Datacenter, ...local }: Upstream): string {
  const { LocalBindAddress, LocalBindPort, LocalBindSocketPath } = local;
  const at = LocalBindSocketPath || `${LocalBindAddress || '127.0.0.1'}:${LocalBindPort ?? ''}`;
  const what = DestinationType === 'prepared_query' ? 'prepared query' : 'service';
  return `Upstream ${what} ${DestinationName}${Datacenter ? ` in ${Datacenter}` : ''} at ${at}`;
}

async function verdictFindings(
  client: Client,
  source: string,
  { DestinationName: destination, Datacenter }: Upstream,
): Promise<readonly Finding[]> {
  const where = Datacenter ? { destinationDatacenter: Datacenter } : {};
  const { Allowed, ByRequest, Reason, ToAllow } = await client.intentions.explain({ source, destination, ...where });
  if (Allowed) return [good(`${source} may connect to ${destination}: ${Reason}`)];
  if (ByRequest === true) return [good(`${source} may connect to ${destination}, request by request: ${Reason}`)];
  return [bad(`${source} may not connect to ${destination}: ${Reason}`, ToAllow)];
}

/** Through routers, splitters, resolvers and failover, wherever the chain may end. */
async function targetFindings(client: Client, { DestinationName, Datacenter }: Upstream): Promise<readonly Finding[]> {
  const { value } = await client.transport.json<{ readonly Chain: DiscoveryChain }>({
    method: 'GET',
    path: `/v1/discovery-chain/${encodeURIComponent(DestinationName)}`,
    ...(Datacenter ? { query: { 'compile-dc': Datacenter } } : {}),
  });
  const targets = Object.values(value.Chain.Targets ?? {});
  if (targets.length === 0) return [bad(`${DestinationName} leads nowhere`)];
  return Promise.all(
    targets.map(async ({ Service, ServiceSubset, Datacenter: datacenter }) => {
      const name = `${ServiceSubset ? `${ServiceSubset} of ` : ''}${Service} in ${datacenter}`;
      const [found = bad(`${name} has no instances`)] = await lookedAt(name, async () => {
        const { value: instances } = await client.health.connect(Service, {}, { datacenter });
        const healthy = instances.filter(({ Checks }) => Checks.every(({ Status }) => Status !== 'critical'));
        const text = `${name}: ${healthy.length} of ${instances.length} instances in the mesh are healthy`;
        if (healthy.length > 0) return [good(text)];
        const hint =
          instances.length === 0
            ? `register ${Service} with a sidecar: connect { sidecar_service {} }`
            : instances.flatMap(({ Node, Checks }) => critical(Node.Node, Checks)).join('; ');
        return [bad(text, hint)];
      });
      return found;
    }),
  );
}

function critical(
  node: string,
  checks: readonly { readonly Name: string; readonly Status: string; readonly Output: string }[],
): readonly string[] {
  return checks
    .filter(({ Status }) => Status === 'critical')
    .map(({ Name, Output }) => `${Name} on ${node}: ${Output.trim() || 'critical'}`);
}

async function queryFindings(client: Client, query: string): Promise<readonly Finding[]> {
  const { Nodes, Datacenter, Service } = await client.queries.execute(query, { connect: true });
  const text = `${Nodes.length} instances of ${Service} in ${Datacenter}`;
  return [Nodes.length > 0 ? good(text) : bad(text, `see who would serve it: isthmus query forecast ${query}`)];
}
