import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { IsthmusError } from '../../lib/errors.ts';

export interface EnvoyRun {
  readonly binary: string;
  /** Without those that name the bootstrap. */
  readonly args: readonly string[];
  /** It may hold a token: it goes through a pipe and stands in no file, argument or environment. */
  readonly bootstrap: string;
  /** Of this process; the Envoy gets it without tokens. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** How long a bootstrap waits for the Envoy to read it, seconds. */
const WAIT_SECONDS = 60;
/**
 * Takes standard input into its memory and gives it to whoever opens the pipe $1, then removes its folder $2. It goes
 * on by itself, since the process that started it becomes the Envoy. printf is part of the shell: no process gets an
 * argument.
 */
const WRITER =
  'exec 3<&0; (timeout "$3" sh -c \'text=$(cat); printf %s "$text" >"$1"\' sh "$1" <&3; rm -rf "$2") >/dev/null 2>&1 &';

/** A pipe from which the bootstrap can be read once. */
function pipeOf(bootstrap: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-envoy-')); // only its owner may open it
  const pipe = join(folder, 'bootstrap.json');
  try {
    run('mkfifo', ['-m', '600', pipe]);
    run('sh', ['-c', WRITER, 'sh', pipe, folder, String(WAIT_SECONDS)], bootstrap);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return pipe;
}

function run(command: string, args: readonly string[], input = ''): void {
  const { error, status } = spawnSync(command, args, { input, stdio: ['pipe', 'ignore', 'ignore'] });
  if (status === 0) return;
  const why = error?.message ?? `exit code ${status}`;
  throw new IsthmusError('unavailable', `the pipe for the bootstrap can't be made: ${command}: ${why}`);
}

function withoutTokens(env: EnvoyRun['env']): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/^(?:CONSUL|ISTHMUS)_HTTP_(?:TOKEN|AUTH)$/.test(name)),
  );
}

type Execve = (file: string, args: readonly string[], env: NodeJS.ProcessEnv) => never;

/** Becomes the Envoy where Node can (since 22.15); otherwise runs it, passes signals on, and ends as it does. */
export async function runEnvoy({ binary, args, bootstrap, env }: EnvoyRun): Promise<number> {
  const all = [...args, '--config-path', pipeOf(bootstrap)];
  const own = withoutTokens(env);
  const { execve } = process as unknown as { readonly execve?: Execve };
  if (execve !== undefined) execve.call(process, binary, [binary, ...all], own);
  return child(binary, all, own);
}

const PASSED_ON = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGCONT'] as const;

/** Exit codes of programs that a signal ended start here. */
const SIGNAL_BASE = 128;

function child(binary: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  return new Promise((done, reject) => {
    const envoy = spawn(binary, args, { stdio: 'inherit', env });
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
      if (signal !== null) process.kill(process.pid, signal); // whoever started this sees what became of the Envoy
      done(code ?? SIGNAL_BASE + constants.signals[signal as NodeJS.Signals]);
    });
  });
}
