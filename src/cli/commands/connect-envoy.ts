import type { XdsPorts } from '../../client/agent.ts';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import { KEYS_WITHOUT_EFFECT } from '../../model/proxy-keys.ts';
import { canSeparateCallers } from '../../model/supported-envoys.ts';
import { optionsFromFlags } from '../api-flags.ts';
import { type Command, type CommandContext, CommandFailure, doing } from '../command.ts';
import { agentAddress, givenAddress } from '../envoy/agent-address.ts';
import { envoyVersion, findEnvoy, requireSupported } from '../envoy/binary.ts';
import { bootstrap } from '../envoy/bootstrap.ts';
import { bootstrapFlags, ENVOY_FLAGS, refuseGateways } from '../envoy/flags.ts';
import { runEnvoy } from '../envoy/run-envoy.ts';
import { statusLines } from '../envoy/status.ts';
import { proxyIdOf, whichProxy } from '../envoy/which-proxy.ts';

export const connectEnvoy: Command = {
  path: ['connect', 'envoy'],
  synopsis: 'Run an Envoy as the proxy of a service',
  argsUsage: '[-- ENVOY-OPTION…]',
  about:
    'Writes the bootstrap of an Envoy for a proxy that is registered with the agent, and becomes that Envoy. ' +
    'Everything ' +
    'else it gets from the agent over xDS (ports.grpc), and it goes on with what it has while the agent is away. The ' +
    'token stands in no argument, environment or file. What stands behind -- goes to Envoy as it is.',
  flags: ENVOY_FLAGS,
  api: 'agent',
  async run(context) {
    const { flags, args, io, print, complain } = context;
    refuseGateways(flags);
    if (flags.bool('status')) return printStatus(context);
    const proxy = await whichProxy(context);
    for (const [key, why] of Object.entries(KEYS_WITHOUT_EFFECT))
      if ([proxy.config, ...proxy.upstreamConfigs].some((config) => key in config))
        complain(`Warning: ${key} has no effect: ${why}`);
    const { token } = optionsFromFlags(flags, io);
    const only = flags.bool('bootstrap');
    const version = only ? likelyVersion(context) : versionToRun(context);
    const text = JSON.stringify(
      bootstrap({
        ...proxy,
        ...bootstrapFlags(flags, io),
        agent: agentAddress(flags, io, await xdsPorts(context)),
        env: io.env,
        separatesCallers: version === undefined || canSeparateCallers(version),
        ...(token === undefined || token === '' ? {} : { token }),
      }),
      undefined,
      2,
    );
    if (only) {
      print(text);
      return 0;
    }
    const binary = findEnvoy(flags.text('envoy-binary'), io.env);
    return runEnvoy({ binary, args: [...defaultOptions(args), ...args], bootstrap: text, env: io.env });
  },
};

/** Undefined when an address is given, or the agent does not say. */
async function xdsPorts({ flags, io, client, complain }: CommandContext): Promise<XdsPorts | undefined> {
  if (givenAddress(flags, io) !== undefined) return undefined;
  try {
    const { xDS } = await client().agent.self();
    return xDS?.Ports;
  } catch (error) {
    if (!hasCode(error, 'permission_denied'))
      throw new CommandFailure('Error asking the agent where it serves xDS', error);
    complain(
      'Warning: the token may not ask the agent where it serves xDS (agent:read): ' +
        'set -grpc-addr if that is not port 8502',
    );
    return undefined;
  }
}

function versionToRun({ flags, io }: CommandContext): string | undefined {
  const asked = flags.text('envoy-version');
  const lenient = flags.bool('ignore-envoy-compatibility');
  if (lenient && asked === '') return likelyVersion({ flags, io });
  const version = asked || envoyVersion(findEnvoy(flags.text('envoy-binary'), io.env), io.env);
  if (!lenient) requireSupported(version);
  return version;
}

/** Of the Envoy that a bootstrap is likely for; undefined when nothing says it. */
function likelyVersion({ flags, io }: Pick<CommandContext, 'flags' | 'io'>): string | undefined {
  const asked = flags.text('envoy-version');
  if (asked !== '') return asked;
  try {
    return envoyVersion(findEnvoy(flags.text('envoy-binary'), io.env), io.env);
  } catch {
    return undefined;
  }
}

async function printStatus(context: CommandContext): Promise<number> {
  const { json, print, printJson } = context;
  const proxyId = await proxyIdOf(context);
  const all = await doing('Error asking the agent for its Envoys', context.client().agent.envoys());
  const envoys = all.filter(({ ProxyID }) => proxyId === undefined || ProxyID === proxyId);
  if (json) printJson(envoys);
  else for (const line of statusLines(envoys)) print(line);
  if (proxyId !== undefined && envoys.length === 0)
    throw new IsthmusError('not_found', `no Envoy follows this agent as ${proxyId}`);
  return 0;
}

/**
 * What Envoy needs beside the bootstrap, unless it is given. Listeners change only when a registration does, or when
 * what is open is no longer allowed: then it ends at once, not after Envoy's ten minutes.
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
