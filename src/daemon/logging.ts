import type { LogConfig } from '../config/types.ts';
import {
  createLogger,
  type LogDestination,
  type LogFile,
  openLogFile,
  parseLogLevel,
  type RootLogger,
} from '../telemetry/logger.ts';
import type { AgentHost } from './host.ts';

export interface Logging {
  readonly log: RootLogger;
  setLevel(level: string): void;
  /** Writes what is left. */
  close(): void;
}

/** The log goes to the host, and to a file when one is configured. */
export function startLogging(config: LogConfig, node: string, host: Pick<AgentHost, 'clock' | 'log'>): Logging {
  const file: LogFile | undefined = config.file === '' ? undefined : openLogFile(config.file);
  const destination: LogDestination = {
    write(line) {
      host.log(line);
      file?.write(line);
    },
  };
  const log = createLogger({
    level: parseLogLevel(config.level) ?? 'info',
    destination,
    clock: host.clock,
    name: node,
  });
  return {
    log,
    setLevel: (level) => log.setLevel(parseLogLevel(level) ?? 'info'),
    close: () => file?.close(),
  };
}
