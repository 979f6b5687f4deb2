import { connect, type Socket } from 'node:net';

export interface LoadResult {
  readonly requests: number;
  readonly failures: number;
  readonly seconds: number;
  readonly perSecond: number;
}

const HEADER_END = Buffer.from('\r\n\r\n');

/**
 * Keep-alive load on one URL: each connection sends its next request when the answer is complete. Speaks just enough
 * HTTP (Content-Length answers) to cost little beside what it measures.
 */
export async function httpLoad(options: {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly connections: number;
  readonly milliseconds: number;
}): Promise<LoadResult> {
  const request = Buffer.from(`GET ${options.path} HTTP/1.1\r\nHost: ${options.host}:${options.port}\r\n\r\n`);
  const started = process.hrtime.bigint();
  const end = started + BigInt(options.milliseconds) * 1_000_000n;
  let requests = 0;
  let failures = 0;
  await Promise.all(
    Array.from(
      { length: options.connections },
      () =>
        new Promise<void>((resolve) => {
          const socket: Socket = connect({ host: options.host, port: options.port, noDelay: true });
          let pending: Buffer = Buffer.alloc(0);
          let missing = -1; // bytes of the body still to come; -1 while reading the head
          const finish = (): void => {
            socket.destroy();
            resolve();
          };
          const answered = (ok: boolean): void => {
            if (ok) requests += 1;
            else failures += 1;
            missing = -1;
            if (process.hrtime.bigint() >= end) finish();
            else socket.write(request);
          };
          let ok = true;
          socket.on('connect', () => socket.write(request));
          socket.on('error', () => {
            failures += 1;
            finish();
          });
          socket.on('close', finish);
          socket.on('data', (chunk: Buffer) => {
            if (missing >= 0) {
              missing -= chunk.length;
              if (missing <= 0) answered(ok);
              return;
            }
            pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
            const head = pending.indexOf(HEADER_END);
            if (head < 0) return;
            const text = pending.toString('latin1', 0, head);
            ok = text.startsWith('HTTP/1.1 200');
            const length = /content-length: (\d+)/i.exec(text);
            missing = Number(length?.[1] ?? 0) - (pending.length - head - HEADER_END.length);
            pending = Buffer.alloc(0);
            if (missing <= 0) answered(ok);
          });
        }),
    ),
  );
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  return { requests, failures, seconds, perSecond: requests / seconds };
}

/** Value at a share (0.5 is the median) of unsorted samples. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
