import type { LogConfig } from '../config/types.ts';
import type { Clock } from '../lib/clock.ts';
import {
  createLogger,
  type LogDestination,
  type LogFile,
  openLogFile,
  parseLogLevel,
  type RootLogger,
} from '../telemetry/logger.ts';

export interface Logging {
  readonly log: RootLogger;
  setLevel(level: string): void;
  /** Writes what is left. */
  close(): void;
}

/** The log goes to standard error, and to a file when one is configured; standard output is for the ready line. */
export function startLogging(config: LogConfig, node: string, clock: Clock): Logging {
  const file: LogFile | undefined = config.file === '' ? undefined : openLogFile(config.file);
  const destination: LogDestination = {
    write(line) {
      process.stderr.write(line);
      file?.write(line);
    },
  };
  const log = createLogger({ level: parseLogLevel(config.level) ?? 'info', destination, clock, name: node });
  return {
    log,
    setLevel: (level) => log.setLevel(parseLogLevel(level) ?? 'info'),
    close: () => file?.close(),
  };
}
