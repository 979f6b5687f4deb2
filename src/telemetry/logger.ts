import pino from 'pino';
import type { Clock } from '../lib/clock.ts';
import { redact, redactText } from './redact.ts';
import { RotatingFile } from './rotating-file.ts';
import type { LogFields, Logger } from './types.ts';

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Where lines go. */
export interface LogDestination {
  write(line: string): void;
}

/** A log file. `reopen` after it was moved away. */
export interface LogFile extends LogDestination {
  reopen(): void;
  close(): void;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Default standard output. */
  readonly destination?: LogDestination;
  readonly clock: Clock;
  /** The node's name, on every line; a sidecar says for which service it stands instead. */
  readonly name: string;
  readonly nameField?: 'node' | 'sidecar';
}

export interface RootLogger extends Logger {
  readonly level: LogLevel;
  /** Holds at once for this logger and all its children. */
  setLevel(level: LogLevel): void;
}

/** The level that a configuration's text means, with the names that Consul knows; `undefined` when it means none. */
export function parseLogLevel(text: string): LogLevel | undefined {
  const level = text.toLowerCase();
  if (level === 'trace') return 'debug';
  if (level === 'err') return 'error';
  return LOG_LEVELS.find((known) => known === level);
}

/**
 * Logs as JSON lines: `{"level":"info","time":"2026-01-01T00:00:00.000Z","node":"n1","component":"store","msg":"…"}`.
 * Fields are named as in {@link LOG_FIELDS}; secrets in them are replaced by `[redacted]`.
 */
export function createLogger(options: LoggerOptions): RootLogger {
  const { clock } = options;
  const sink = pino(
    {
      level: 'debug', // decided below, so that a change holds for children too
      base: { [options.nameField ?? 'node']: options.name },
      timestamp: () => `,"time":"${new Date(clock.now()).toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    options.destination ?? pino.destination({ dest: 1, sync: true }),
  );
  const threshold = { rank: LOG_LEVELS.indexOf(options.level) };
  const root = makeLogger(sink, threshold);
  return {
    ...root,
    get level() {
      return LOG_LEVELS[threshold.rank] as LogLevel;
    },
    setLevel(level) {
      threshold.rank = LOG_LEVELS.indexOf(level);
    },
  };
}

/**
 * Opens a log file for appending; made for its owner only, with its folder, when missing. Lines that can't be written
 * are lost, and the file is tried again with the next one.
 * @param onLost called with the cause when lines begin to be lost, and with undefined when that is over
 */
export function openLogFile(path: string, clock: Clock, onLost: (cause: Error | undefined) => void): LogFile {
  const file = new RotatingFile({ path, maxBytes: 0, maxAgeMs: 0, maxFiles: 0, clock });
  file.write(''); // a path that can't be used is an error now
  let losing = false;
  return {
    write(line) {
      try {
        file.write(line);
        if (!losing) return;
        losing = false;
        onLost(undefined);
      } catch (error) {
        if (losing) return;
        losing = true; // first: what is called may log
        onLost(error as Error);
      }
    },
    reopen: () => file.close(),
    close: () => file.close(),
  };
}

function makeLogger(sink: pino.Logger, threshold: { readonly rank: number }): Logger {
  const at = (level: LogLevel): ((message: string, fields?: LogFields) => void) => {
    const rank = LOG_LEVELS.indexOf(level);
    return (message, fields) => {
      if (rank < threshold.rank) return;
      const text = redactText(message);
      if (fields === undefined) sink[level](text);
      else sink[level](redact(fields) as object, text);
    };
  };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => makeLogger(sink.child(redact(fields) as pino.Bindings), threshold),
  };
}
