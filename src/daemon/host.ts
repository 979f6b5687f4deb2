import { fstatSync, writeSync } from 'node:fs';
import { type Clock, systemClock } from '../lib/clock.ts';
import { type ReadyAddresses, readyLine } from './ready.ts';

/**
 * What an agent has of the process that it runs in. Tests run several agents in one process, with a clock of their own.
 */
export interface AgentHost {
  readonly clock: Clock;
  /** Whether a person reads the log as it is written. */
  readonly logIsTerminal: boolean;
  /** Takes lines of the log. */
  log(line: string): void;
  /** Called once, when everything listens. */
  ready(ready: ReadyAddresses): void;
  /** Calls `handler` on each such signal; returns the function that ends it. */
  onSignal(signal: 'SIGHUP' | 'SIGTERM' | 'SIGINT', handler: () => void): () => void;
}

const STDERR = 2;

/**
 * A log that can't be written, on a full disk or because its reader is gone, does not end the process; the line is
 * lost.
 */
function standardError(): (line: string) => void {
  process.stdout.on('error', () => undefined); // the ready line
  process.stderr.on('error', () => undefined);
  if (!fstatSync(STDERR).isFile()) return (line) => void process.stderr.write(line);
  // A stream to a file takes nothing more after its first error.
  return (line) => {
    try {
      writeSync(STDERR, line);
    } catch {
      // nowhere to say it
    }
  };
}

/** The log goes to standard error; standard output is for the ready line. */
export const processHost: AgentHost = {
  clock: systemClock,
  logIsTerminal: process.stderr.isTTY === true,
  log: standardError(),
  ready: (ready) => void process.stdout.write(readyLine(ready)),
  onSignal(signal, handler) {
    process.on(signal, handler);
    return () => void process.off(signal, handler);
  },
};
