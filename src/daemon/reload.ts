import { loadConfig } from '../config/load.ts';
import { afterReload, diffReload } from '../config/reload.ts';
import { systemConfigDeps } from '../config/system-deps.ts';
import type { LoadedConfig, LoadInput } from '../config/types.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { Dns } from './edges/dns.ts';
import type { Logging } from './logging.ts';
import type { NodeAgent } from './node/node-agent.ts';
import type { Certificates } from './security/certificates.ts';
import type { Watches } from './watches.ts';

export interface ReloadParts {
  /** What the command line said: read again by each reload. */
  readonly input: LoadInput;
  /** What the agent was started with. */
  readonly started: LoadedConfig;
  readonly agent: Pick<NodeAgent, 'local' | 'tokens'>;
  readonly certificates: Certificates;
  readonly dns: Dns;
  readonly logging: Logging;
  readonly watches: Pick<Watches, 'configure'>;
}

export interface Reload {
  /** The configuration in force. */
  loaded(): LoadedConfig;
  /**
   * Takes over what changed and can be; resolves with the changed keys that need a restart. What is not valid changes
   * nothing.
   */
  run(): Promise<readonly string[]>;
}

export function createReload({ input, started, agent, certificates, dns, logging, watches }: ReloadParts): Reload {
  const { log } = logging;
  let current = started;
  return {
    loaded: () => current,
    async run() {
      const after = readAgain(input);
      const changed = diffReload(current, after).reloadable;
      const { needsRestart } = diffReload(started, after); // a change that was taken back needs none
      try {
        certificates.configure(afterReload(started, after).config.tls);
      } catch (cause) {
        throw new IsthmusError('rejected', IsthmusError.from(cause).message, { cause });
      }
      await agent.local.loadDefinitions(after.config.services, after.config.checks);
      agent.tokens.configure(after.config);
      await watches.configure(after.config.watches);
      if (changed.some((key) => key === 'recursors' || key.startsWith('dns_config.'))) dns.configure(after.config);
      logging.setLevel(after.config.log.level);
      if (needsRestart.length > 0) log.warn('changed keys need a restart', { keys: needsRestart });
      log.info('configuration reloaded', { changed });
      current = afterReload(started, after);
      return needsRestart;
    },
  };
}

/** The configuration as it is now. What is wrong with it is no fault of whoever asked for the reload. */
function readAgain(input: LoadInput): LoadedConfig {
  try {
    return loadConfig(input, systemConfigDeps);
  } catch (cause) {
    throw new IsthmusError('rejected', IsthmusError.from(cause).message, { cause });
  }
}
