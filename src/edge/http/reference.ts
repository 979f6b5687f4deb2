import type { LocalState } from '../../agent/local/types.ts';
import { systemClock } from '../../lib/clock.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { SnapshotContract } from '../../rpc/contract/snapshots.ts';
import type { AgentParts } from './agent-parts.ts';
import type { Route } from './route.ts';
import { agentCheckRoutes } from './routes/agent-checks.ts';
import { agentServiceRoutes } from './routes/agent-services.ts';
import { apiRoutes } from './routes/all.ts';

const INTRO = `# HTTP API

<!-- Generated from the route tables in src/edge/http/routes by \`npm run docs:api\`; do not edit. -->

Paths, parameters, bodies and answers are those of Consul's API, so that its clients work unchanged. What Isthmus adds lies
under \`/v1/internal\` and \`/v1/connect/ca\`.

- Every endpoint takes \`?pretty\` (indented JSON) and a token: the header \`X-Consul-Token\`, \`Authorization: Bearer\` or
  \`?token=\`. "Needs" names what the token must grant once ACLs are on.
- Another method than those listed is answered 405 with \`Allow\`; OPTIONS lists the methods. Errors are plain text that says
  what to do; a body over the limit is 413.
- \`?dc=\` of a write names the datacenter that decides; default the agent’s own.
`;

const READS = `
## Parameters of every read

`;

const TITLES: Readonly<Record<string, string>> = {
  acl: 'ACL',
  agent: 'Agent',
  catalog: 'Catalog',
  config: 'Configuration entries',
  connect: 'Certificates and intentions',
  coordinate: 'Coordinates',
  'discovery-chain': 'Discovery chains',
  health: 'Health',
  internal: 'What Isthmus adds',
  operator: 'Operator',
  query: 'Prepared queries',
  status: 'Status',
};

/** A route takes these together or not at all. */
const READ_PARAMETERS = ['dc', 'index', 'wait', 'stale', 'consistent'];

/** The text of docs/api.md. */
export function renderReference(): string {
  const groups = new Map<string, Route[]>();
  for (const route of allRoutes()) {
    const group = route.path.split('/')[2] ?? '';
    groups.set(group, [...(groups.get(group) ?? []), route]);
  }
  const sections = [...groups]
    .map(([group, routes]) => [TITLES[group] ?? group, routes] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([title, routes]) => `\n## ${title}\n\n${routes.sort(byPath).map(describe).join('')}`);
  return [INTRO, READS, ...readParameters(), ...sections].join('');
}

/** Every route of an agent. Made to be looked at, never asked: what stands behind them is left out. */
export function allRoutes(): readonly Route[] {
  const nothing: unknown = new Proxy({}, { get: () => nothing });
  const local = nothing as LocalState;
  return [
    ...apiRoutes({
      contract: nothing as ServerContract,
      snapshots: nothing as SnapshotContract,
      agent: nothing as AgentParts,
      datacenter: 'dc1',
      clock: systemClock,
    }),
    ...agentServiceRoutes({ local, datacenter: 'dc1' }),
    ...agentCheckRoutes({ local }),
  ];
}

function byPath(a: Route, b: Route): number {
  return a.path === b.path ? METHODS.indexOf(a.method) - METHODS.indexOf(b.method) : a.path < b.path ? -1 : 1;
}

const METHODS: readonly string[] = ['GET', 'PUT', 'POST', 'DELETE'];

function isRead(route: Route): boolean {
  return READ_PARAMETERS.every((name) => route.query?.some((parameter) => parameter.name === name));
}

function readParameters(): string[] {
  const route = allRoutes().find(isRead);
  return (route?.query ?? [])
    .filter(({ name }) => READ_PARAMETERS.includes(name))
    .map(({ name, about }) => `- \`${name}\`: ${about}\n`);
}

function describe(route: Route): string {
  const read = isRead(route);
  const decided = !read && (route.query ?? []).some(({ name }) => name === 'dc');
  const own = (route.query ?? []).filter(
    ({ name }) => !(read && READ_PARAMETERS.includes(name)) && !(decided && name === 'dc'),
  );
  const notes = [
    route.about,
    ...(route.acl === 'none' ? [] : [`Needs \`${route.acl}\`.`]),
    ...(read ? ['A read, with its parameters.'] : []),
    ...(decided ? ['Takes `dc`.'] : []),
  ];
  const parameters = own.map(({ name, about }) => `  - \`${name}\`: ${about}\n`);
  return `- \`${route.method} ${route.path}\`: ${notes.join(' ')}\n${parameters.join('')}`;
}
