import type { Client } from '../client/client.ts';
import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { FlagSpec, Flags } from './flags.ts';

/** The outside world of a command, so that tests can stand in for it. */
export interface Io {
  /** Writes to standard output, as it is. */
  out(content: string | Uint8Array): void;
  /** Writes to standard error, as it is. */
  err(text: string): void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Throws as node:fs does. */
  readFile(path: string): string;
  readBytes(path: string): Uint8Array;
  /** Paths of the files in a directory, sorted. Throws as node:fs does. */
  listFiles(path: string): readonly string[];
  exists(path: string): boolean;
  /** Writes a file that must not be there yet (else EEXIST); only its owner may read it with mode 0600. */
  createFile(path: string, content: string | Uint8Array, mode: number): void;
  readStdin(): Promise<string>;
  readStdinBytes(): Promise<Uint8Array>;
  /** Starts a program that shares standard output and error, in a process group of its own. */
  startChild(command: readonly string[], options: ChildOptions): Child;
  /** Whether a person watches standard output and error. */
  readonly outIsTerminal: boolean;
  readonly errIsTerminal: boolean;
  /** Characters in a line of the terminal now; 80 where that is unknown. */
  outWidth(): number;
  readonly clock: Clock;
  /** From the first call on, SIGINT and SIGTERM abort the signal instead of ending the process. */
  stopSignal(): AbortSignal;
}

export interface ChildOptions {
  /** Beside the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** It reads standard input of this process; else it has none. */
  readonly passStdin: boolean;
}

export interface Child {
  /** The exit code, or the signal that ended it. Rejects when it can't be started. */
  readonly ended: Promise<{ readonly code: number | undefined; readonly signal: string | undefined }>;
  /** To all of its process group. */
  kill(signal: 'SIGTERM' | 'SIGKILL' | 'SIGINT'): void;
}

export interface CommandContext {
  readonly io: Io;
  readonly flags: Flags;
  readonly args: readonly string[];
  /** `-format=json`. */
  readonly json: boolean;
  /** The client that flags and environment describe; closed when the command ends. */
  client(): Client;
  /** Writes a line to standard output. */
  print(line: string): void;
  /** Writes a line to standard error. */
  complain(line: string): void;
  /** Writes a value as indented JSON. */
  printJson(value: unknown): void;
}

export interface Command {
  /** `['catalog', 'nodes']` */
  readonly path: readonly string[];
  /** One line for lists of commands. */
  readonly synopsis: string;
  /** What stands behind the command and its options: `SRC DST`. */
  readonly argsUsage?: string;
  /** Paragraphs of the help; the synopsis when absent. */
  readonly about?: string;
  readonly flags: readonly FlagSpec[];
  /** agent: flags of the HTTP client; server: also -datacenter and -stale; none: neither. */
  readonly api: 'none' | 'agent' | 'server';
  /** From its first argument on, the words are those of another program, flags too. */
  readonly childArguments?: true;
  /** Exit code of errors, where 1 means something else; default 1. */
  readonly failureCode?: number;
  /** Resolves with the exit code. Errors thrown are written to standard error with `failureCode`. */
  run(context: CommandContext): Promise<number>;
}

/** An error whose line starts with what was being done: `Error listing nodes: …`. */
export class CommandFailure extends Error {
  readonly reason: IsthmusError;

  constructor(what: string, thrown: unknown) {
    const reason = IsthmusError.from(thrown);
    super(`${what}: ${reason.message}`, { cause: thrown });
    this.reason = reason;
  }
}

/** Settles as `promise`; a failure gets `what` in front. */
export async function doing<T>(what: string, promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw new CommandFailure(what, error);
  }
}

/** As {@link doing} for something that is not asynchronous. */
export function attempting<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw new CommandFailure(what, error);
  }
}
