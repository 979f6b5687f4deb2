import { spawn } from 'node:child_process';
import { accessSync, closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { IsthmusError } from '../../lib/errors.ts';

export interface EnvoyRun {
  readonly binary: string;
  /** Without those that name the bootstrap. */
  readonly args: readonly string[];
  /** The bootstrap; it may hold a token, so that only the Envoy gets to see it. */
  readonly bootstrap: string;
}

/** Absolute path of a program: a path, or a name that is looked for in PATH. Undefined when there is none. */
export function findProgram(name: string, path: string): string | undefined {
  const candidates = name.includes('/')
    ? [resolve(name)]
    : path.split(delimiter).flatMap((folder) => (folder === '' ? [] : [join(folder, name)]));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The descriptor that the Envoy reads its bootstrap from: it is in no argument, and in no file that has a name. */
const DESCRIPTOR = 3;
const FROM_DESCRIPTOR = ['--config-path', `/dev/fd/${DESCRIPTOR}`];
/** Opens the file, removes it, and becomes the program. */
const BECOME = `exec ${DESCRIPTOR}<"$1"; rm -rf "$2"; shift 2; exec "$@"`;

type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never;

/** Becomes the Envoy where Node can (since 22.15); otherwise runs it, passes signals on, and resolves with its exit code. */
export async function runEnvoy({ binary, args, bootstrap }: EnvoyRun): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-envoy-'));
  const file = join(folder, 'bootstrap.json');
  writeFileSync(file, bootstrap, { mode: 0o600 });
  const { execve } = process as unknown as { readonly execve?: Execve };
  if (execve !== undefined)
    execve('/bin/sh', ['sh', '-c', BECOME, 'sh', file, folder, binary, ...args, ...FROM_DESCRIPTOR], process.env);
  const descriptor = openSync(file, 'r');
  rmSync(folder, { recursive: true, force: true });
  try {
    return await child(binary, [...args, ...FROM_DESCRIPTOR], descriptor);
  } finally {
    closeSync(descriptor);
  }
}

const PASSED_ON = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;
/** Exit codes of programs that a signal ended start here. */
const SIGNAL_BASE = 128;

function child(binary: string, args: readonly string[], descriptor: number): Promise<number> {
  return new Promise((done, reject) => {
    const envoy = spawn(binary, args, { stdio: ['inherit', 'inherit', 'inherit', descriptor] });
    const passOn = PASSED_ON.map((signal) => {
      const listener = (): void => void envoy.kill(signal);
      process.on(signal, listener);
      return () => process.off(signal, listener);
    });
    envoy.once('error', (cause) =>
      reject(new IsthmusError('unavailable', `${binary} can't be run: ${cause.message}`, { cause })),
    );
    envoy.once('exit', (code, signal) => {
      for (const off of passOn) off();
      done(code ?? SIGNAL_BASE + (signal === 'SIGINT' ? 2 : signal === 'SIGTERM' ? 15 : 9));
    });
  });
}
