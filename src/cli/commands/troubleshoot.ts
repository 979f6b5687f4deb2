import { connect } from 'node:net';
import type { AgentService } from '../../client/agent.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { type Command, type CommandContext, doing } from '../command.ts';
import { proxyIdOf } from '../envoy/which-proxy.ts';
import { type FlagSpec, UsageError } from '../flags.ts';
import { bad, conclude, type Finding, good, type Section } from '../troubleshoot/findings.ts';
import { proxySections } from '../troubleshoot/proxy.ts';
import { upstreamSections } from '../troubleshoot/upstreams.ts';

const WHICH: readonly FlagSpec[] = [
  { name: 'sidecar-for', kind: 'text', placeholder: 'id', about: 'ID of the service that the proxy stands beside.' },
  { name: 'proxy-id', kind: 'text', placeholder: 'id', about: 'ID of the proxy. Else CONNECT_PROXY_ID.' },
];

async function proxiesOf(context: CommandContext): Promise<readonly AgentService[]> {
  const id = await proxyIdOf(context);
  const { agent } = context.client();
  const all = Object.values(await doing('Error reading the services of the agent', agent.services()));
  const proxies = all.filter(({ Kind, ID }) => Kind === 'connect-proxy' && (id === undefined || ID === id));
  if (proxies.length === 0)
    throw new IsthmusError(
      'not_found',
      id === undefined
        ? 'No proxy is registered with this agent'
        : `No proxy ${JSON.stringify(id)} is registered with this agent`,
    );
  return proxies;
}

const upstreams: Command = {
  path: ['troubleshoot', 'upstreams'],
  synopsis: 'Show whether the upstreams of proxies may be reached, and what is there',
  about:
    'For each upstream: the verdict of the intentions with its reason, and the healthy instances of everything that ' +
    'it ' +
    'leads to, failover included. Without a proxy, those of all proxies of the agent. Exit code 1 when something is ' +
    'wrong.',
  flags: WHICH,
  api: 'agent',
  async run(context) {
    const sections: Section[] = [];
    for (const proxy of await proxiesOf(context)) {
      const found = await upstreamSections(context.client(), proxy);
      if (found.length === 0) sections.push({ title: `Proxy ${proxy.ID}`, findings: [good('It has no upstreams')] });
      sections.push(...found.map(({ title, findings }) => ({ title: `${proxy.ID}: ${title}`, findings })));
    }
    return conclude(context, sections);
  },
};

const proxy: Command = {
  path: ['troubleshoot', 'proxy'],
  synopsis: 'Show what keeps a proxy from serving',
  about:
    'Looks at its certificate and the roots, at what follows the agent for it and what that rejected, at its ' +
    'checks, and at ' +
    'its upstreams. Exit code 1 when something is wrong.',
  flags: WHICH,
  api: 'agent',
  async run(context) {
    const [one, ...more] = await proxiesOf(context);
    if (one === undefined || more.length > 0)
      throw new UsageError('This agent has several proxies: name one with -sidecar-for or -proxy-id');
    return conclude(context, [
      ...(await proxySections(context.client(), one, context.io.clock)),
      ...(await upstreamSections(context.client(), one)),
    ]);
  },
};

const PORTS = [
  [8300, 'server'],
  [8301, 'joining, and agents (serf_lan)'],
  [8302, 'other datacenters (serf_wan)'],
  [8500, 'HTTP'],
  [8501, 'HTTPS'],
  [8502, 'gRPC, for Envoys'],
  [8503, 'gRPC over TLS'],
  [8600, 'DNS'],
] as const;
const CONNECT_MS = 5_000;

const ports: Command = {
  path: ['troubleshoot', 'ports'],
  synopsis: 'Show which ports of a host take connections from here',
  about: 'Tries the usual ports, or those given, over TCP. Exit code 1 when one that was given is closed.',
  flags: [
    { name: 'host', kind: 'text', placeholder: 'host', about: 'Whose ports. Default: this machine.' },
    { name: 'ports', kind: 'text', placeholder: 'list', about: 'Such as 8500,8301. Default: all the usual ones.' },
  ],
  api: 'none',
  async run(context) {
    const { flags, io } = context;
    const host = flags.text('host') || '127.0.0.1';
    const given = flags.text('ports') === '' ? undefined : flags.text('ports').split(',').map(portOf);
    const wanted = given ?? PORTS.map(([port]) => port);
    const findings = await Promise.all(wanted.map((port) => tryPort(io.clock, host, port)));
    const code = conclude(context, [{ title: `Ports of ${host}`, findings }]);
    return given === undefined ? 0 : code;
  },
};

function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw new UsageError(`${JSON.stringify(text)} is no port`);
  return port;
}

function tryPort(clock: Clock, host: string, port: number): Promise<Finding> {
  const use = PORTS.find(([known]) => known === port)?.[1];
  const name = `TCP ${port}${use === undefined ? '' : ` (${use})`}`;
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (finding: Finding): void => {
      timer.cancel();
      socket.destroy();
      resolve(finding);
    };
    const timer = clock.after(CONNECT_MS, () =>
      finish(bad(`${name}: no answer`, 'a firewall may drop what is sent there')),
    );
    socket.once('connect', () => finish(good(`${name}: open`)));
    socket.once('error', ({ code = '', message }: NodeJS.ErrnoException) =>
      finish(code === 'ECONNREFUSED' ? bad(`${name}: closed, nothing listens`) : bad(`${name}: ${message}`)),
    );
  });
}

export const troubleshootCommands: readonly Command[] = [ports, proxy, upstreams];
