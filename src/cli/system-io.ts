import { existsSync, readdirSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { systemClock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { startChild } from './child.ts';
import type { Io } from './command.ts';

const STDOUT = 1;
const STDERR = 2;

/** Written at once and in order, so that nothing is lost when the process ends. */
function write(descriptor: number, content: string | Uint8Array): void {
  let rest: Uint8Array = typeof content === 'string' ? Buffer.from(content) : content;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') return; // the reader had enough
      if (code !== 'EAGAIN') throw error;
    }
  }
}

/** The real world. */
export function systemIo(): Io {
  let stop: AbortController | undefined;
  return {
    out: (content) => write(STDOUT, content),
    err(content) {
      try {
        write(STDERR, content);
      } catch {
        // nowhere to say it; what writes it goes on
      }
    },
    env: process.env,
    readFile: (path) => readFileSync(path, 'utf8'),
    readBytes: (path) => readFileSync(path),
    listFiles: (path) =>
      readdirSync(path)
        .sort()
        .map((name) => join(path, name))
        .filter((file) => statSync(file).isFile()),
    exists: existsSync,
    createFile: (path, content, mode) => writeFileSync(path, content, { mode, flag: 'wx' }),
    readStdin: () => text(process.stdin),
    readStdinBytes: () => buffer(process.stdin),
    startChild,
    outIsTerminal: process.stdout.isTTY === true,
    errIsTerminal: process.stderr.isTTY === true,
    outWidth: () => process.stdout.columns || 80,
    clock: systemClock,
    stopSignal() {
      if (stop === undefined) {
        const controller = new AbortController();
        const onSignal = (): void => {
          // A second signal ends the process at once.
          if (controller.signal.aborted) process.exit(1);
          controller.abort(new IsthmusError('cancelled', 'stopped by a signal'));
        };
        process.on('SIGINT', onSignal);
        process.on('SIGTERM', onSignal);
        stop = controller;
      }
      return stop.signal;
    },
  };
}
