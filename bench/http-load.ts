import { connect, type Socket } from 'node:net';

export interface LoadResult {
  readonly requests: number;
  readonly failures: number;
  readonly seconds: number;
  readonly perSecond: number;
}

export interface Target {
  readonly host: string;
  readonly port: number;
  /** Keep-alive connections; each sends its next request when the answer is complete. */
  readonly connections: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const HEADER_END = Buffer.from('\r\n\r\n');
/** How the peer ends an answer whose length it did not know when it began. */
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

/** A request that {@link sendAll} can send; a body goes as JSON. */
export function requestBytes(target: Target, method: string, path: string, body?: unknown): Buffer {
  const payload = body === undefined ? '' : JSON.stringify(body);
  const length = body === undefined ? '' : `Content-Length: ${Buffer.byteLength(payload)}\r\n`;
  const more = Object.entries(target.headers ?? {}).map(([name, value]) => `${name}: ${value}\r\n`);
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${target.host}:${target.port}\r\n${more.join('')}${length}`;
  return Buffer.from(`${head}\r\n${payload}`);
}

/** Sends each request once. */
export function sendAll(target: Target, requests: readonly Buffer[]): Promise<LoadResult> {
  let at = 0;
  return run(target, () => requests[at++]);
}

/** Sends one GET again and again for so long. */
export function httpLoad(
  options: Target & { readonly path: string; readonly milliseconds: number },
): Promise<LoadResult> {
  const request = requestBytes(options, 'GET', options.path);
  const end = performance.now() + options.milliseconds;
  return run(options, () => (performance.now() < end ? request : undefined));
}

/** Speaks just enough HTTP to cost little beside what it measures; each connection waits for one answer at a time. */
async function run(target: Target, next: () => Buffer | undefined): Promise<LoadResult> {
  const started = performance.now();
  let requests = 0;
  let failures = 0;
  const lane = (): Promise<void> =>
    new Promise((resolve) => {
      const first = next();
      if (first === undefined) {
        resolve();
        return;
      }
      const socket: Socket = connect({ host: target.host, port: target.port, noDelay: true });
      let pending: Buffer = Buffer.alloc(0);
      let missing = -1; // bytes of the body still to come, Infinity for chunks; -1 while reading the head
      let ok = true;
      let done = false;
      const finish = (broken: boolean): void => {
        if (broken && !done) failures += 1;
        done = true;
        socket.destroy();
        resolve();
      };
      const answered = (): void => {
        if (ok) requests += 1;
        else failures += 1;
        missing = -1;
        const following = next();
        if (following === undefined) finish(false);
        else socket.write(following);
      };
      socket.on('connect', () => socket.write(first));
      socket.on('error', () => finish(true));
      socket.on('close', () => finish(true));
      socket.on('data', (chunk: Buffer) => {
        if (missing >= 0) {
          missing -= chunk.length;
          if (missing <= 0 || (missing === Number.POSITIVE_INFINITY && endsChunks(chunk))) answered();
          return;
        }
        pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
        const head = pending.indexOf(HEADER_END);
        if (head < 0) return;
        const text = pending.toString('latin1', 0, head);
        ok = text.startsWith('HTTP/1.1 200');
        const body = pending.subarray(head + HEADER_END.length);
        pending = Buffer.alloc(0);
        if (/transfer-encoding: chunked/i.test(text)) missing = endsChunks(body) ? 0 : Number.POSITIVE_INFINITY;
        else missing = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0) - body.length;
        if (missing <= 0) answered();
      });
    });
  await Promise.all(Array.from({ length: target.connections }, lane));
  const seconds = (performance.now() - started) / 1_000;
  return { requests, failures, seconds, perSecond: requests / seconds };
}

/** The mark comes in a piece with what is before it, as far as was seen; it is never sent alone in parts. */
function endsChunks(bytes: Buffer): boolean {
  return bytes.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK);
}

/** Value at a share (0.5 is the median) of unsorted samples. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
