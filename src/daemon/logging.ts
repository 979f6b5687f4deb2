import type { LogConfig } from '../config/types.ts';
import { readableLine } from '../lib/readable-line.ts';
import {
  createLogger,
  type LogDestination,
  type LogFile,
  openLogFile,
  parseLogLevel,
  type RootLogger,
} from '../telemetry/logger.ts';
import { RecentLines } from '../telemetry/recent-lines.ts';
import type { AgentHost } from './host.ts';

export interface Logging {
  readonly log: RootLogger;
  setLevel(level: string): void;
  /** The newest lines, and those to come. */
  readonly recent: RecentLines;
  close(): void;
}

/** The log goes to the host, in a form for people on a terminal, and as JSON to a file when one is configured. */
export function startLogging(
  config: LogConfig,
  node: string,
  host: Pick<AgentHost, 'clock' | 'log' | 'logIsTerminal'>,
): Logging {
  const file: LogFile | undefined =
    config.file === ''
      ? undefined
      : openLogFile(config.file, host.clock, (cause) => {
          if (cause === undefined) log.info('the log file is written again', { file: config.file });
          else
            log.error('the log file cannot be written: its lines are lost', {
              file: config.file,
              error: cause.message,
            });
        });
  const recent = new RecentLines();
  const shown = host.logIsTerminal && !config.json ? readableLine : (line: string): string => line;
  const destination: LogDestination = {
    write(line) {
      recent.push(line);
      host.log(shown(line));
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
    recent,
    setLevel: (level) => log.setLevel(parseLogLevel(level) ?? 'info'),
    close: () => file?.close(),
  };
}
