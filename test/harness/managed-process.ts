import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync, type WriteStream } from 'node:fs';
import { dirname } from 'node:path';

export interface ProcessOptions {
  /** For messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Added to this process's environment, from which CONSUL_* and ISTHMUS_* are taken out. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where standard output and error go; appended to. */
  readonly logFile: string;
  /** The ready line is this text followed by JSON. Absent: the program has none, and is not waited for. */
  readonly readyPrefix?: string;
  /** How long the ready line may take, milliseconds. Default 20,000. */
  readonly readyWithinMs?: number;
}

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ManagedProcess<Ready> {
  readonly name: string;
  readonly pid: number;
  /** What the ready line told. */
  readonly ready: Ready;
  readonly logFile: string;
  readonly exited: Promise<Exit>;
  readonly running: boolean;
  /** TERM; after `withinMs` (default 10,000) KILL and an error. Resolves at once when it has ended already. */
  stop(withinMs?: number): Promise<Exit>;
  /** KILL; resolves once it has ended. */
  kill9(): Promise<Exit>;
  signal(signal: NodeJS.Signals): void;
  /** All that it has written so far. */
  log(): string;
}

const LOG_TAIL_CHARS = 4_000;
const live = new Map<ChildProcess, string>();
let guarded = false;

/**
 * Starts a program and resolves once it has printed its ready line; rejects with the end of its log when it ends first.
 */
export async function startProcess<Ready>(options: ProcessOptions): Promise<ManagedProcess<Ready>> {
  guardExit();
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = createWriteStream(options.logFile, { flags: 'a' });
  const child = spawn(options.command, options.args, {
    env: { ...cleanEnvironment(), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  live.set(child, options.name);
  const exited = new Promise<Exit>((resolve) => {
    // 'close' comes after 'exit' and once the output is read: the log is whole then. A spawn that failed has only
    // 'error'.
    child.once('close', (code, signal) => finish({ code, signal }));
    child.once('error', (error) => {
      log.write(`${error.message}\n`);
      if (child.pid === undefined) finish({ code: null, signal: null });
    });
    const finish = (exit: Exit): void => {
      live.delete(child);
      log.end(() => resolve(exit));
    };
  });
  child.stderr.on('data', (chunk: Buffer) => log.write(chunk));
  const ready = await untilReady<Ready>(child, exited, log, options);

  const running = (): boolean => live.has(child);
  return {
    name: options.name,
    pid: child.pid as number,
    ready,
    logFile: options.logFile,
    exited,
    get running() {
      return running();
    },
    async stop(withinMs = 10_000) {
      child.kill('SIGTERM');
      const exit = await within(exited, withinMs);
      if (exit !== undefined) return exit;
      child.kill('SIGKILL');
      await exited;
      throw new Error(`${options.name} did not stop within ${withinMs} ms${tail(options.logFile)}`);
    },
    async kill9() {
      child.kill('SIGKILL');
      return exited;
    },
    signal(signal) {
      child.kill(signal);
    },
    log: () => readFileSync(options.logFile, 'utf8'),
  };
}

/** Names of the processes that were started and have not ended. */
export function runningProcesses(): string[] {
  return [...live.values()];
}

/** Kills what is left and throws when there was any: call at the end of each test file. */
export async function assertNoneLeft(): Promise<void> {
  const left = [...live];
  if (left.length === 0) return;
  for (const [child] of left) child.kill('SIGKILL');
  await Promise.all(left.map(([child]) => new Promise((resolve) => child.once('close', resolve))));
  throw new Error(`processes left behind: ${left.map(([, name]) => name).join(', ')}`);
}

async function untilReady<Ready>(
  child: ChildProcess,
  exited: Promise<Exit>,
  log: WriteStream,
  options: ProcessOptions,
): Promise<Ready> {
  const { readyPrefix, readyWithinMs: withinMs = 20_000 } = options;
  if (readyPrefix === undefined) {
    child.stdout?.on('data', (chunk: Buffer) => log.write(chunk));
    return undefined as Ready;
  }
  const line = new Promise<string>((resolve) => {
    let pending: string | undefined = '';
    child.stdout?.setEncoding('utf8');
    child.stdout?.on('data', (text: string) => {
      log.write(text);
      if (pending === undefined) return;
      pending += text;
      const start = pending.startsWith(readyPrefix) ? 0 : pending.indexOf(`\n${readyPrefix}`) + 1;
      if (start === 0 && !pending.startsWith(readyPrefix)) return;
      const end = pending.indexOf('\n', start);
      if (end === -1) return;
      resolve(pending.slice(start + readyPrefix.length, end));
      pending = undefined;
    });
  });
  const first = await within(Promise.race([line, exited]), withinMs);
  if (typeof first === 'string') {
    try {
      return JSON.parse(first) as Ready;
    } catch (cause) {
      child.kill('SIGKILL');
      throw new Error(`${options.name} printed a ready line that is not JSON: ${first}`, { cause });
    }
  }
  if (first !== undefined) {
    const how = first.signal === null ? `status ${first.code}` : first.signal;
    throw new Error(`${options.name} ended with ${how} before it was ready${tail(options.logFile)}`);
  }
  child.kill('SIGKILL');
  await exited;
  throw new Error(`${options.name} was not ready within ${withinMs} ms${tail(options.logFile)}`);
}

/** The promise's value, or `undefined` after `ms`. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function tail(logFile: string): string {
  const text = readFileSync(logFile, 'utf8').trimEnd();
  if (text === '') return '; it wrote nothing';
  return `; its log ends with:\n${text.slice(-LOG_TAIL_CHARS)}`;
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CONSUL|ISTHMUS)_/.test(name)));
}

/** Children never outlive the test or demo that started them. */
function guardExit(): void {
  if (guarded) return;
  guarded = true;
  process.once('exit', () => {
    for (const child of live.keys()) child.kill('SIGKILL');
  });
}
