import { X509Certificate } from 'node:crypto';
import type { AgentService } from '../../client/agent.ts';
import type { Client } from '../../client/client.ts';
import type { Clock } from '../../lib/clock.ts';
import { remaining } from '../output.ts';
import { bad, type Finding, good, lookedAt, type Section } from './findings.ts';

/** Of a proxy: its certificate, who follows the agent for it, and its health. */
export async function proxySections(client: Client, proxy: AgentService, clock: Clock): Promise<readonly Section[]> {
  const service = proxy.Proxy.DestinationServiceName || proxy.Service;
  return [
    {
      title: `Certificate of ${service}`,
      findings: await lookedAt('The certificate', () => certificateFindings(client, service, clock)),
    },
    { title: `Proxy ${proxy.ID}`, findings: await lookedAt('The proxy', () => followerFindings(client, proxy)) },
    {
      title: 'Health',
      findings: await lookedAt('The checks', () => checkFindings(client, proxy)),
    },
  ];
}

async function certificateFindings(client: Client, service: string, clock: Clock): Promise<readonly Finding[]> {
  const [{ value: leaf }, { value: roots }] = await Promise.all([client.agent.leaf(service), client.ca.roots()]);
  const [own = '', ...others] =
    leaf.CertPEM.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  const certificate = new X509Certificate(own);
  const chain = [
    ...others,
    ...roots.Roots.flatMap(({ RootCert, IntermediateCerts }) => [RootCert, ...(IntermediateCerts ?? [])]),
  ];
  const left = (Date.parse(leaf.ValidBefore) - clock.now()) / 1_000;
  const active = roots.Roots.find(({ ID }) => ID === roots.ActiveRootID);
  const issued = chain.some((pem) => certificate.checkIssued(new X509Certificate(pem)));
  return [
    left > 0
      ? good(`It is valid for another ${remaining(left)}, as ${leaf.ServiceURI}`)
      : bad(
          `It has expired ${remaining(-left)} ago`,
          'an agent renews certificates by itself: see its log, and isthmus connect ca status',
        ),
    issued
      ? good('Its authority is one that the datacenter trusts')
      : bad('No authority that the datacenter trusts has signed it', 'isthmus connect ca status'),
    active === undefined
      ? bad('The datacenter has no active root', 'isthmus connect ca status')
      : good(`The active root is ${active.Name} (${active.ID})`),
  ];
}

async function followerFindings(client: Client, proxy: AgentService): Promise<readonly Finding[]> {
  const [envoys, checks] = await Promise.all([client.agent.envoys(), client.agent.checks()]);
  const own = envoys.filter(({ ProxyID }) => ProxyID === proxy.ID);
  const listening = Object.values(checks).find(({ ServiceID, Type }) => ServiceID === proxy.ID && Type === 'tcp');
  const findings: Finding[] = own.map(({ ConnectedAt, Address }) =>
    good(`An Envoy follows this agent from ${Address} since ${ConnectedAt}`),
  );
  for (const { Rejected } of own)
    for (const { Type, Resource, Error: reason, At } of Rejected)
      findings.push(bad(`It rejected ${Type} ${Resource} at ${At}: ${reason}`, 'it goes on with what it had before'));
  if (listening?.Status === 'passing') findings.push(good(`It takes connections: ${listening.Output}`));
  else if (listening !== undefined)
    findings.push(
      bad(
        `Nothing takes connections for it: ${listening.Output || 'not tried yet'}`,
        `start one: isthmus connect proxy -proxy-id ${proxy.ID}, or isthmus connect envoy -proxy-id ${proxy.ID}`,
      ),
    );
  if (findings.length === 0)
    findings.push(bad('No Envoy follows this agent for it, and it has no check that connects to it'));
  return findings;
}

async function checkFindings(client: Client, proxy: AgentService): Promise<readonly Finding[]> {
  const ids = [proxy.ID, proxy.Proxy.DestinationServiceID ?? '', ''];
  const checks = Object.values(await client.agent.checks()).filter(({ ServiceID }) => ids.includes(ServiceID));
  const failing = checks.filter(({ Status }) => Status === 'critical' || Status === 'warning');
  if (failing.length === 0) return [good(`All ${checks.length} checks pass`)];
  return failing.map(({ Name, Status, Output, Notes }) => bad(`${Name} is ${Status}: ${(Output || Notes).trim()}`));
}
