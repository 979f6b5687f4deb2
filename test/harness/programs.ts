import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { dials } from './ports.ts';
import { waitFor } from './wait-for.ts';

/** A program of others that tests run beside Isthmus. */
export interface Program {
  readonly path: string;
  /** It is not on this machine, and need not be: where CI=true is set, all must be. */
  readonly missing: boolean;
  /** The title of a test, with the reason why it is skipped. */
  title(text: string): string;
}

/** Where administrators' programs are, also when they are not on the path. */
const MORE_FOLDERS = ['/usr/sbin', '/usr/local/sbin', '/sbin'];

export function program(name: string): Program {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...MORE_FOLDERS];
  const path = folders.map((folder) => join(folder, name)).find(isExecutable);
  const missing = path === undefined && process.env.CI !== 'true';
  return {
    path: path ?? name,
    missing,
    title: (text) => (missing ? `${text} (skipped: no ${name} on this machine)` : text),
  };
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs a program that stays in the foreground; resolves once it accepts connections at the port, with what ends it. */
export async function runProgram(path: string, args: readonly string[], port: number): Promise<() => Promise<void>> {
  const child: ChildProcess = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4_000);
    });
  let ended: Error | undefined;
  const exited = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      ended = error;
      resolve();
    });
    child.once('exit', (code, signal) => {
      ended ??= new Error(`${path} ended (${signal ?? code}): ${output}`);
      resolve();
    });
  });
  const stop = async (): Promise<void> => {
    if (ended === undefined) child.kill('SIGTERM');
    await exited;
  };
  try {
    await waitFor(async () => ended !== undefined || (await dials(port)), { what: `${path} at port ${port}` });
  } catch (error) {
    await stop();
    throw error;
  }
  if (ended !== undefined) throw ended;
  return stop;
}
