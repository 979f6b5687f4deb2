import { spawn } from 'node:child_process';
import type { Child, ChildOptions } from './command.ts';

/** Starts a program; see {@link Io.startChild}. */
export function startChild([program = '', ...args]: readonly string[], { env, passStdin }: ChildOptions): Child {
  const child = spawn(program, args, {
    stdio: [passStdin ? 'inherit' : 'ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
    // A group of its own, so that what it starts ends with it. With the terminal's input it must stay in this one.
    detached: !passStdin,
  });
  return {
    ended: new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
    }),
    kill(signal) {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      try {
        process.kill(passStdin ? child.pid : -child.pid, signal);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it has just ended
      }
    },
  };
}
