import { loadConfig } from '../config/load.ts';
import { afterReload, diffReload } from '../config/reload.ts';
import { systemConfigDeps } from '../config/system-deps.ts';
import type { LoadedConfig, LoadInput } from '../config/types.ts';
import { IsthmusError } from '../lib/errors.ts';
import { createServiceGroup } from '../lib/service.ts';
import { createTaskGroup } from '../lib/task.ts';
import { OwnCsrs } from '../pki/csr.ts';
import { createAudit } from '../telemetry/audit.ts';
import { createMetrics, type MetricsRegistry } from '../telemetry/metrics.ts';
import type { Logger } from '../telemetry/types.ts';
import { createClientCore } from './client/client-core.ts';
import type { Core } from './core.ts';
import { createDns, type Dns } from './edges/dns.ts';
import { createEdgeParts } from './edges/edge-parts.ts';
import { createHttp } from './edges/http.ts';
import { createXds } from './edges/xds.ts';
import { type AgentHost, processHost } from './host.ts';
import { type Logging, startLogging } from './logging.ts';
import { createNodeAgent, type NodeAgent } from './node/node-agent.ts';
import { loadNodeId, prepareDataDir } from './node/node-id.ts';
import { loadNodeKey } from './node/node-key.ts';
import { readyAddresses } from './ready.ts';
import { Certificates } from './security/certificates.ts';
import { serverCore } from './server/server-core.ts';
import { createServerNode } from './server/server-node.ts';

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

/** Runs an agent until it is told to stop; resolves with the process's exit code. */
export async function runAgent({ input, describe, host = processHost }: RunAgentOptions): Promise<number> {
  const loaded = loadConfig(input, systemConfigDeps);
  const { config } = loaded;
  const { clock } = host;
  const logging = startLogging(config.log, config.nodeName, host);
  const { log } = logging;
  tellConfiguration(loaded, logging);
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
  let leaves = false;
  let failed = false;
  let current = loaded;
  const reload = async (): Promise<readonly string[]> => {
    const after = readAgain(input);
    current = await takeOver({ started: loaded, before: current }, after, { agent, certificates, dns, logging });
    return diffReload(loaded, after).needsRestart;
  };

  const certificates = new Certificates({
    tls: config.tls,
    managed: () => core.material(),
    clock,
    log: log.child({ component: 'tls' }),
    metrics,
  });
  const audit = createAudit({ sinks: config.auditSinks, clock, log: log.child({ component: 'audit' }), metrics });
  const ownCsrs = new OwnCsrs();
  const onBehind = (): void => agent.local.requestSync();
  const core: Core = config.server
    ? serverCore(await createServerNode({ loaded, nodeId, clock, log, metrics, audit, ownCsrs, certificates }), {
        config,
        clock,
        onBehind,
      })
    : createClientCore({
        loaded,
        nodeId,
        nodeKey: loadNodeKey(config.dataDir),
        clock,
        log,
        metrics,
        certificates,
        onBehind,
        giveUp(error) {
          log.error('giving up', { error: error.message });
          failed = true;
          stop('no server was found');
        },
      });
  const agent = createNodeAgent({
    loaded,
    nodeId,
    contract: core.contract,
    trusted: core.trusted,
    tokens: core.tokens,
    clock,
    log,
    metrics,
    ownCsrs,
  });
  const parts = createEdgeParts({
    loaded: () => current,
    core,
    nodeId,
    agent,
    metrics,
    lines: logging.recent,
    certificates,
    reload,
    stop,
    signal: stopping.signal,
    clock,
  });
  const http = createHttp({
    loaded,
    contract: core.contract,
    snapshots: core.snapshots,
    agent: parts,
    local: agent.local,
    certificates,
    audit,
    accessorOf: (token) => core.accessorOf(token || core.tokens.get('default')),
    clock,
    log,
    metrics,
  });

  const dns = createDns({
    loaded,
    contract: core.contract,
    token: () => core.tokens.get('default'),
    clock,
    log,
    metrics,
  });

  const xds = createXds({ loaded, feeds: parts.proxies, certificates, clock, log, metrics });

  const group = createServiceGroup([certificates, ...core.services, ...agent.services, dns, xds, http], clock);
  if (describe !== undefined) {
    describe(metrics);
    return 0;
  }
  const tasks = createTaskGroup({
    clock,
    onError: (task, error) => log.error('task failed', { task, error: error.message }),
  });
  const unhook = [
    host.onSignal('SIGHUP', () => tasks.run('reload', async () => void (await reload()))),
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
    await new Promise<void>((resolve) => {
      if (stopping.signal.aborted) resolve();
      else stopping.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    if (leaves) await core.leave().catch((error: unknown) => tellLeave(error, log));
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

/** Whoever can't say goodbye is found lost by its silence. */
function tellLeave(error: unknown, log: Logger): void {
  log.warn('leaving was not confirmed', { error: IsthmusError.from(error).message });
}

function tellConfiguration(loaded: LoadedConfig, { log }: Logging): void {
  for (const warning of loaded.warnings) log.warn('configuration', { warning });
  const { server, devMode, connect } = loaded.config;
  if (server && !devMode && connect.enabled && connect.caKeyEncryptionFile === '')
    log.warn('private keys of the certificate authority are not encrypted at rest', {
      remedy: 'connect.ca_key_encryption_file',
    });
  if (loaded.noEffect.length > 0) log.info('keys without effect here', { keys: loaded.noEffect });
}

/** The configuration as it is now. What is wrong with it is no fault of whoever asked for the reload. */
function readAgain(input: LoadInput): LoadedConfig {
  try {
    return loadConfig(input, systemConfigDeps);
  } catch (cause) {
    throw new IsthmusError('rejected', IsthmusError.from(cause).message, { cause });
  }
}

/** Takes over what changed and can be; the rest is named. A configuration that is not valid changes nothing. */
async function takeOver(
  { started, before }: { readonly started: LoadedConfig; readonly before: LoadedConfig },
  after: LoadedConfig,
  parts: {
    readonly agent: NodeAgent;
    readonly certificates: Certificates;
    readonly dns: Dns;
    readonly logging: Logging;
  },
): Promise<LoadedConfig> {
  const { agent, certificates, dns, logging } = parts;
  const { log } = logging;
  const changed = diffReload(before, after).reloadable;
  const { needsRestart } = diffReload(started, after); // a change that was taken back needs none
  try {
    certificates.configure(afterReload(started, after).config.tls);
  } catch (cause) {
    throw new IsthmusError('rejected', IsthmusError.from(cause).message, { cause });
  }
  await agent.local.loadDefinitions(after.config.services, after.config.checks);
  agent.tokens.configure(after.config);
  if (changed.some((key) => key === 'recursors' || key.startsWith('dns_config.'))) dns.configure(after.config);
  logging.setLevel(after.config.log.level);
  if (needsRestart.length > 0) log.warn('changed keys need a restart', { keys: needsRestart });
  log.info('configuration reloaded', { changed });
  return afterReload(started, after);
}
