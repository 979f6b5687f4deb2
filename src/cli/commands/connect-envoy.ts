import { IsthmusError } from '../../lib/errors.ts';
import { optionsFromFlags } from '../api-flags.ts';
import { type Command, type CommandContext, doing } from '../command.ts';
import { agentAddress } from '../envoy/agent-address.ts';
import { bootstrap } from '../envoy/bootstrap.ts';
import { findProgram, runEnvoy } from '../envoy/run-envoy.ts';
import { hostPort } from './proxy-options.ts';

const DEFAULT_ADMIN = 'localhost:19000';

export const connectEnvoy: Command = {
  path: ['connect', 'envoy'],
  synopsis: 'Run an Envoy as the proxy of a service',
  argsUsage: '[-- ENVOY-OPTION…]',
  about:
    'Writes the bootstrap of an Envoy for a proxy that is registered with the agent, and becomes that Envoy. Everything ' +
    'else it gets from the agent over xDS (ports.grpc), and it goes on with what it has while the agent is away. The ' +
    'token never stands among its arguments. What stands behind -- goes to Envoy as it is.',
  flags: [
    { name: 'sidecar-for', kind: 'text', placeholder: 'id', about: 'ID of a service of this agent; be its sidecar.' },
    { name: 'proxy-id', kind: 'text', placeholder: 'id', about: 'ID of a proxy registered with this agent; be it.' },
    { name: 'bootstrap', kind: 'bool', about: 'Only print the bootstrap, with the token in it.' },
    {
      name: 'admin-bind',
      kind: 'text',
      placeholder: 'host:port',
      about: `Where Envoy serves its own administration. Default ${DEFAULT_ADMIN}.`,
    },
    {
      name: 'admin-access-log-path',
      kind: 'text',
      placeholder: 'file',
      about: 'Where requests to it are logged. Default /dev/null.',
    },
    {
      name: 'envoy-binary',
      kind: 'text',
      placeholder: 'file',
      about: 'The Envoy to run. Default envoy, looked for in PATH.',
    },
    {
      name: 'grpc-addr',
      kind: 'text',
      placeholder: 'address',
      about:
        'Where the agent serves xDS: host:port, https://host:port or unix:///path. Else ISTHMUS_GRPC_ADDR, CONSUL_GRPC_ADDR or 127.0.0.1:8502.',
    },
    {
      name: 'grpc-ca-file',
      kind: 'text',
      placeholder: 'file',
      about: 'PEM file with the authorities of its certificate; implies TLS. Else CONSUL_GRPC_CACERT.',
    },
  ],
  api: 'agent',
  async run(context) {
    const { flags, args, io, print } = context;
    const { proxyId, cluster } = await whichProxy(context);
    const admin = hostPort(flags.text('admin-bind') || DEFAULT_ADMIN, 'admin-bind');
    const { token } = optionsFromFlags(flags, io);
    const text = JSON.stringify(
      bootstrap({
        proxyId,
        cluster,
        admin: {
          address: admin.address === 'localhost' ? '127.0.0.1' : admin.address,
          port: admin.port,
          accessLogPath: flags.text('admin-access-log-path') || '/dev/null',
        },
        agent: agentAddress(flags, io),
        ...(token === undefined || token === '' ? {} : { token }),
      }),
      undefined,
      2,
    );
    if (flags.bool('bootstrap')) {
      print(text);
      return 0;
    }
    const name = flags.text('envoy-binary') || 'envoy';
    const binary = findProgram(name, io.env.PATH ?? '');
    if (binary === undefined)
      throw new IsthmusError(
        'not_found',
        `${JSON.stringify(name)} is no program that can be run: install Envoy, or name it with -envoy-binary`,
      );
    return runEnvoy({ binary, args: [...defaultOptions(args), ...args], bootstrap: text });
  },
};

/**
 * What Envoy needs beside the bootstrap, unless it is given. Listeners change only when a registration does, or when what is
 * open is no longer allowed: then it ends at once, not after Envoy's ten minutes.
 */
function defaultOptions(given: readonly string[]): readonly string[] {
  const has = (...names: readonly string[]): boolean =>
    given.some((word) => names.some((name) => word === name || word.startsWith(`${name}=`)));
  return [
    ...(has('--base-id', '--use-dynamic-base-id', '--restart-epoch', '--disable-hot-restart')
      ? []
      : ['--disable-hot-restart']),
    ...(has('--drain-time-s') ? [] : ['--drain-time-s', '0']),
    ...(has('--drain-strategy') ? [] : ['--drain-strategy', 'immediate']),
  ];
}

async function whichProxy(context: CommandContext): Promise<{ readonly proxyId: string; readonly cluster: string }> {
  const { flags } = context;
  const { agent } = context.client();
  const serviceId = flags.text('sidecar-for');
  const proxyId = flags.text('proxy-id');
  if ((serviceId === '') === (proxyId === ''))
    throw new IsthmusError('invalid_argument', 'give either -sidecar-for or -proxy-id');
  if (proxyId !== '') {
    const { Proxy: proxy, Service } = await doing(
      `Error reading proxy ${JSON.stringify(proxyId)} from the agent`,
      agent.service(proxyId),
    );
    return { proxyId, cluster: proxy.DestinationServiceName || Service };
  }
  const services = Object.values(await doing('Error reading the services of the agent', agent.services()));
  const sidecars = services.filter(
    (each) => each.Kind === 'connect-proxy' && each.Proxy.DestinationServiceID === serviceId,
  );
  const [sidecar] = sidecars;
  if (sidecar === undefined) throw new IsthmusError('not_found', `No sidecar proxy registered for ${serviceId}`);
  if (sidecars.length > 1)
    throw new IsthmusError(
      'rejected',
      `More than one sidecar proxy registered for ${serviceId}. Start proxy with -proxy-id and one of the following IDs: ${sidecars
        .map(({ ID }) => ID)
        .sort()
        .join(', ')}`,
    );
  return { proxyId: sidecar.ID, cluster: sidecar.Proxy.DestinationServiceName || sidecar.Service };
}
