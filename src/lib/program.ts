import { type ChildProcess, spawn } from 'node:child_process';
import type { Clock } from './clock.ts';
import { LastBytes } from './last-bytes.ts';

export interface ProgramOptions {
  /** The program, found in the `PATH` of `env`, and its arguments; no shell reads them. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Written to its standard input; absent: it has none. */
  readonly input?: string;
  readonly timeoutMs: number;
  /** Bytes of what it writes, on either output, that are kept: the last ones. */
  readonly maxOutput: number;
  readonly clock: Clock;
  /** Aborted: it is killed. */
  readonly signal: AbortSignal;
}

/**
 * - exit: it ended by itself, or by a signal from elsewhere (`code` -1)
 * - timeout: it was killed after its time
 * - failed: it could not be started
 */
export interface ProgramEnd {
  readonly kind: 'exit' | 'timeout' | 'failed';
  readonly code: number;
  readonly output: Buffer;
  /** Bytes written, kept or not. */
  readonly written: number;
  /** Why it could not be started. */
  readonly reason: string;
  /**
   * Once it is gone, which a process that hangs in the kernel may not be for long after its time; never rejects. What
   * must not run twice waits for it.
   */
  readonly gone: Promise<void>;
}

/**
 * Runs a program in a process group of its own. When its time is up, or on abort, the whole group is killed; so it is
 * when it has ended and left something behind that still holds its outputs.
 */
export function runProgram(options: ProgramOptions): Promise<ProgramEnd> {
  const { args, env, input, clock, signal } = options;
  const output = new LastBytes(options.maxOutput);
  const end = (kind: ProgramEnd['kind'], code: number, reason: string, gone: Promise<void>): ProgramEnd => ({
    kind,
    code,
    output: output.bytes(),
    written: output.total,
    reason,
    gone,
  });
  const [file = '', ...rest] = args;
  let child: ChildProcess;
  try {
    child = spawn(file, rest, {
      env: { ...env },
      detached: true, // its own group, so that what it starts can be killed with it
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
  } catch (error) {
    return Promise.resolve(end('failed', -1, startError(file, error), Promise.resolve()));
  }
  child.stdin?.on('error', () => undefined); // it need not read what it is given
  child.stdin?.end(input);
  return new Promise((resolve) => {
    let exited = false;
    let killed = false;
    let isGone = (): void => undefined;
    const gone = new Promise<void>((done) => {
      isGone = done;
    });
    const letGo = (): void => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    const kill = (): void => {
      killed = true;
      killGroup(child);
      if (exited) letGo(); // what left the group keeps the outputs open, but nothing waits for it
    };
    const finish = (result: ProgramEnd): void => {
      timer.cancel();
      signal.removeEventListener('abort', kill);
      resolve(result);
    };
    const timer = clock.after(options.timeoutMs, () => {
      kill();
      finish(end('timeout', -1, '', gone));
    });
    signal.addEventListener('abort', kill, { once: true });
    if (signal.aborted) kill();
    child.stdout?.on('data', (chunk: Buffer) => output.write(chunk));
    child.stderr?.on('data', (chunk: Buffer) => output.write(chunk));
    child.once('error', (error) => {
      if (child.pid !== undefined) return; // a failed kill
      isGone();
      finish(end('failed', -1, startError(file, error), gone));
    });
    child.once('exit', () => {
      exited = true;
      if (killed) letGo();
    });
    child.once('close', (code) => {
      isGone();
      finish(end('exit', code ?? -1, '', gone));
    });
  });
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

/** As Go says it, which operators of Consul know. */
function startError(file: string, error: unknown): string {
  const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
  const found = file.includes('/');
  if (code === 'ENOENT')
    return found
      ? `fork/exec ${file}: no such file or directory`
      : `exec: "${file}": executable file not found in $PATH`;
  if (code === 'EACCES') return `fork/exec ${file}: permission denied`;
  return message;
}
