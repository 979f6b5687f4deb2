import type { SidecarTarget } from '../../client/sidecar-source.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { type Command, type CommandContext, doing } from '../command.ts';
import { type MetricsPage, serveMetrics } from './metrics-page.ts';
import { hostPort, PROXY_FLAGS, proxyTarget } from './proxy-options.ts';
import { upstreamsByName, watchSource } from './proxy-source.ts';

const DEFAULT_METRICS = '127.0.0.1:0';

export const connectProxy: Command = {
  path: ['connect', 'proxy'],
  synopsis: 'Run the built-in sidecar of a service',
  about:
    'Accepts the connections of the mesh for a service, and opens connections to its upstreams, with mutual TLS. ' +
    'Its configuration ' +
    'comes from the agent; while the agent is away, it continues with what it has. SIGTERM or SIGINT stop it; open ' +
    'connections get ' +
    'time to end.\n\nWhen it is ready, it prints one line: ==> Isthmus sidecar ready: {"proxy": …, "listen": …, ' +
    '"upstreams": …, "metrics": …}.',
  flags: PROXY_FLAGS,
  api: 'agent',
  async run(context) {
    const { flags, print, complain } = context;
    print('==> Isthmus connect proxy starting...');
    const target = proxyTarget(flags);
    if (target === undefined) {
      complain(
        '==> Error preparing configuration: -service or -proxy-id must be specified so that proxy can configure ' +
          'itself.',
      );
      return 1;
    }
    return runProxy(context, target);
  },
};

async function runProxy(context: CommandContext, target: SidecarTarget): Promise<number> {
  const { io, flags, print } = context;
  const stopping = io.stopSignal();
  // The sidecar and its libraries are loaded only here, so that other commands start fast.
  const [{ createSidecar }, { createSidecarSource }, { createLogger, parseLogLevel }, { createMetrics }] =
    await Promise.all([
      import('../../sidecar/sidecar.ts'),
      import('../../client/sidecar-source.ts'),
      import('../../telemetry/logger.ts'),
      import('../../telemetry/metrics.ts'),
    ]);
  const level = parseLogLevel(flags.text('log-level') || 'info');
  if (level === undefined) {
    throw new IsthmusError(
      'invalid_argument',
      `-log-level must be debug, info, warn or error, not ${flags.text('log-level')}`,
    );
  }
  const name =
    target.kind === 'proxy' ? target.proxyId : target.kind === 'standalone' ? target.service : target.serviceId;
  const { clock } = io;
  const log = createLogger({
    level,
    clock,
    name,
    nameField: 'sidecar',
    destination: { write: (line) => io.err(line) },
  });
  const metrics = createMetrics({ clock });
  const source = watchSource(createSidecarSource({ transport: context.client().transport, clock }, target));
  const sidecar = createSidecar({ source, clock, log, metrics });

  let page: MetricsPage | undefined;
  let registered: string | undefined;
  try {
    page = await doing(
      'Error opening the metrics page',
      serveMetrics(hostPort(flags.text('metrics-addr') || DEFAULT_METRICS, 'metrics-addr'), metrics),
    );
    await sidecar.start(stopping);
    const { listen, upstreams } = sidecar.addresses();
    const config = source.config();
    if (flags.bool('register') && listen !== undefined) registered = await register(context, target, listen);
    const ready = {
      proxy: config?.proxyId ?? name,
      ...(listen === undefined ? {} : { listen }),
      upstreams: upstreamsByName(config?.upstreams ?? [], upstreams),
      metrics: page.address,
    };
    print(`==> Isthmus sidecar ready: ${JSON.stringify(ready)}`);
    await aborted(stopping);
  } catch (error) {
    if (!stopping.aborted) throw error;
  } finally {
    if (registered !== undefined) await deregister(context, registered, log);
    await sidecar.stop();
    await page?.close();
  }
  return 0;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function register(context: CommandContext, target: SidecarTarget, listen: string): Promise<string | undefined> {
  if (target.kind !== 'standalone') return undefined;
  const { service } = target;
  const id = context.flags.text('register-id') || `${service}-proxy`;
  const { address, port } = hostPort(listen, 'listen');
  const definition = {
    Kind: 'connect-proxy',
    ID: id,
    Name: `${service}-proxy`,
    Port: port,
    ...(address === '0.0.0.0' || address === '::' ? {} : { Address: address }),
    Proxy: { DestinationServiceName: service },
  };
  await doing('Error registering the proxy', context.client().agent.registerService(definition));
  return id;
}

async function deregister(
  context: CommandContext,
  id: string,
  log: { warn(message: string, fields: Readonly<Record<string, unknown>>): void },
): Promise<void> {
  try {
    await context.client().agent.deregisterService(id);
  } catch (error) {
    log.warn('proxy not deregistered', { id, error: IsthmusError.from(error).message });
  }
}
