import { spawn } from 'node:child_process';
import { BINARY } from './agent.ts';

export interface CliResult {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs one command of the program to its end. @param folder in which it runs */
export function isthmus(args: readonly string[], binary = BINARY, folder?: string): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(CONSUL|ISTHMUS)_/.test(name)));
    const child = spawn(binary, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
      ...(folder === undefined ? {} : { cwd: folder }),
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
  });
}
