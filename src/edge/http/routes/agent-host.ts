import { agentRead, operatorRead } from '../../../agent/access/rules.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { AgentParts } from '../agent-parts.ts';
import { jsonResponse, type Route } from '../route.ts';

export interface AgentHostRouteDeps {
  readonly agent: Pick<AgentParts, 'host' | 'version' | 'metrics'>;
  readonly clock: Clock;
}

/** Between two lines of /v1/agent/metrics/stream, milliseconds: as Consul's. */
const METRICS_MS = 10_000;

/** What the agent runs on, which version it is, and what it measures as it goes. */
export function agentHostRoutes({ agent, clock }: AgentHostRouteDeps): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/agent/host',
      about: 'The machine: memory, processors, disk of the data directory, operating system.',
      acl: 'operator:read',
      rule: operatorRead,
      handle: async () => jsonResponse(await agent.host()),
    },
    {
      method: 'GET',
      path: '/v1/agent/version',
      about: 'The version of Consul whose API is spoken, and this program’s own.',
      acl: 'agent:read',
      rule: agentRead,
      handle: () => jsonResponse(agent.version()),
    },
    {
      method: 'GET',
      path: '/v1/agent/metrics/stream',
      about: 'What the agent measures, a line of JSON at once and then every ten seconds.',
      acl: 'agent:read',
      rule: agentRead,
      handle: ({ signal }) => ({ stream: measured(agent, clock, signal) }),
    },
  ];
}

async function* measured(
  agent: AgentHostRouteDeps['agent'],
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<string, void, void> {
  while (!signal.aborted) {
    yield `${JSON.stringify(await agent.metrics.json())}\n`;
    await new Promise<void>((resolve) => {
      const timer = clock.after(METRICS_MS, done);
      function done(): void {
        timer.cancel();
        signal.removeEventListener('abort', done);
        resolve();
      }
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
