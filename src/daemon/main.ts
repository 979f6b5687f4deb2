import { loadConfig } from '../config/load.ts';
import { systemConfigDeps } from '../config/system-deps.ts';
import type { LoadedConfig, LoadInput } from '../config/types.ts';
import type { Ask } from '../edge/http/ask.ts';
import { IsthmusError } from '../lib/errors.ts';
import { Later } from '../lib/later.ts';
import { createServiceGroup } from '../lib/service.ts';
import { aborted } from '../lib/signals.ts';
import { createTaskGroup } from '../lib/task.ts';
import { OwnCsrs } from '../pki/csr.ts';
import { createAudit } from '../telemetry/audit.ts';
import { createMetrics, type MetricsRegistry } from '../telemetry/metrics.ts';
import type { Logger } from '../telemetry/types.ts';
import { createAutoReload } from './auto-reload.ts';
import { createClientCore } from './client/client-core.ts';
import { createClockJumps } from './clock-jumps.ts';
import type { Core } from './core.ts';
import { createDns } from './edges/dns.ts';
import { createEdgeParts } from './edges/edge-parts.ts';
import { createHttp } from './edges/http.ts';
import { createXds } from './edges/xds.ts';
import { type AgentHost, processHost } from './host.ts';
import { type Logging, startLogging } from './logging.ts';
import { createNodeAgent } from './node/node-agent.ts';
import { loadNodeId, prepareDataDir } from './node/node-id.ts';
import { loadNodeKey } from './node/node-key.ts';
import { readyAddresses } from './ready.ts';
import { createReload } from './reload.ts';
import { Certificates } from './security/certificates.ts';
import { serverCore } from './server/server-core.ts';
import { createServerNode } from './server/server-node.ts';
import { createWatches } from './watches.ts';

export interface RunAgentOptions {
  /** What the command line said; read again by a reload. */
  readonly input: LoadInput;
  /** Start nothing: only tell what the agent would measure. */
  readonly describe?: (metrics: MetricsRegistry) => void;
  /** Default the process itself. */
  readonly host?: AgentHost;
}

/** Each part is given this long to stop, milliseconds. */
const STOP_DEADLINE_MS = 10_000;

/** Runs an agent until it is stopped; resolves with the process's exit code. */
export async function runAgent({ input, describe, host = processHost }: RunAgentOptions): Promise<number> {
  const loaded = loadConfig(input, systemConfigDeps);
  const { config } = loaded;
  const { clock } = host;
  const logging = startLogging(config.log, config.nodeName, host);
  const { log } = logging;
  logConfiguration(loaded, logging);
  prepareDataDir(config.dataDir);
  const nodeId = loadNodeId(config.nodeId, config.dataDir);
  const metrics = createMetrics({
    clock,
    onError: (name, error) => log.warn('reading a metric failed', { name, error: error.message }),
  });
  const stopping = new AbortController();
  const stop = (reason: string): void => {
    if (stopping.signal.aborted) return;
    log.info('stopping', { reason });
    stopping.abort(new IsthmusError('cancelled', reason));
  };
  let failed = false;

  const shared = { loaded, nodeId, clock, log, metrics };
  const certificates = new Certificates({
    ...{ tls: config.tls, clock, metrics },
    log: log.child({ component: 'tls' }),
  });
  const audit = createAudit({ sinks: config.auditSinks, clock, log: log.child({ component: 'audit' }), metrics });
  const ownCsrs = new OwnCsrs();
  const core: Core = config.server
    ? serverCore(await createServerNode({ ...shared, audit, ownCsrs, certificates }), { config, clock })
    : createClientCore({
        ...shared,
        nodeKey: loadNodeKey(config.dataDir),
        certificates,
      });
  const { contract, tokens } = core;
  const agent = createNodeAgent({ ...shared, contract, trusted: core.trusted, tokens, ownCsrs });
  core.onBehind(() => agent.local.requestSync());
  const dns = createDns({ ...shared, contract, token: () => tokens.get('dns') || tokens.get('default') });
  const api = new Later<Ask>('the HTTP API');
  const watches = createWatches(
    { ask: (...asked) => api.value(...asked), env: process.env, clock, log },
    config.watches,
  );
  const reload = createReload({ input, started: loaded, agent, certificates, dns, logging, watches });
  const parts = createEdgeParts({
    ...{ core, nodeId, agent, metrics, certificates, reload, stop, clock },
    lines: logging.recent,
    signal: stopping.signal,
    xdsAddresses: () => xds.addresses,
  });
  const xds = createXds({ ...shared, feeds: parts.proxies, certificates });
  const http = createHttp({
    ...{ ...shared, contract, certificates, audit },
    envoys: xds.envoys,
    snapshots: core.snapshots,
    agent: parts,
    local: agent.local,
    accessorOf: (token) => core.accessorOf(token || tokens.get('default')),
  });

  api.provide(http.ask);

  const services = [
    createClockJumps(clock, log, metrics),
    certificates,
    ...core.services,
    ...agent.services,
    dns,
    xds,
    http,
    watches,
    ...(config.autoReload
      ? [createAutoReload({ sources: input.sources.map(({ path }) => path), reload, clock, log })]
      : []),
  ];
  const group = createServiceGroup(services, clock, (cause) => {
    log.error('a part of the agent has failed: the agent stops', { error: cause.message });
    failed = true;
    stop('a part of the agent has failed');
  });
  if (describe !== undefined) {
    describe(metrics);
    return 0;
  }
  const tasks = createTaskGroup({
    clock,
    onError: (task, error) => log.error('task failed', { task, error: error.message }),
  });
  let leaves = false;
  const unhook = [
    host.onSignal('SIGHUP', () => tasks.run('reload', async () => void (await reload.run()))),
    host.onSignal('SIGTERM', () => {
      leaves ||= config.leaveOnTerminate;
      stop('SIGTERM');
    }),
    host.onSignal('SIGINT', () => {
      leaves ||= !config.skipLeaveOnInterrupt;
      stop('SIGINT');
    }),
  ];
  try {
    await group.start(stopping.signal);
    const ready = readyAddresses(config, core.addresses, http.addresses, dns.addresses, xds.addresses);
    host.ready(ready);
    log.info('agent is ready', { addresses: ready });
    await aborted(stopping.signal);
    if (leaves) await core.leave().catch((error: unknown) => logLeave(error, log));
    await tasks.stop();
    await group.stop(STOP_DEADLINE_MS);
    log.info('stopped');
    return failed ? 1 : 0;
  } finally {
    for (const off of unhook) off();
    audit.close();
    logging.close();
  }
}

/** An agent that can't say that it leaves is found lost by its silence. */
function logLeave(error: unknown, log: Logger): void {
  log.warn('leaving was not confirmed', { error: IsthmusError.from(error).message });
}

function logConfiguration(loaded: LoadedConfig, { log }: Logging): void {
  for (const warning of loaded.warnings) log.warn('configuration', { warning });
  const { server, devMode, connect } = loaded.config;
  if (server && !devMode && connect.enabled && connect.caKeyEncryptionFile === '')
    log.warn('private keys of the certificate authority are not encrypted at rest', {
      remedy: 'connect.ca_key_encryption_file',
    });
  if (loaded.noEffect.length > 0) log.info('keys without effect here', { keys: loaded.noEffect });
}
