import { request } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** One HTTP request to an agent. */
export function call(http: string, method: string, path: string, body?: unknown): Promise<Answer> {
  const payload = body === undefined ? undefined : JSON.stringify(body);
  const { hostname, port } = new URL(`http://${http}`);
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, method, path, timeout: 30_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      response.on('error', reject);
    });
    sent.on('timeout', () => sent.destroy(new Error(`${method} ${path}: no answer within 30 s`)));
    sent.on('error', reject);
    sent.end(payload);
  });
}

/** As {@link call}, for answers that must be 200 and JSON. */
export async function json<T>(http: string, method: string, path: string, body?: unknown): Promise<T> {
  const { status, text } = await call(http, method, path, body);
  if (status !== 200) throw new Error(`${method} ${path}: ${status} ${text}`);
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

/** Asks until `done` is true of the answer; the demo's progress is drawn by `onTry`. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  ask: () => Promise<T>,
  done: (answer: T) => boolean,
  onTry: (answer: T | undefined) => void = () => undefined,
): Promise<T> {
  const end = Date.now() + timeoutMs;
  let last = '';
  for (;;) {
    try {
      const answer = await ask();
      onTry(answer);
      if (done(answer)) return answer;
      last = JSON.stringify(answer)?.slice(0, 300) ?? '';
    } catch (error) {
      onTry(undefined);
      last = error instanceof Error ? error.message : String(error);
    }
    if (Date.now() > end) throw new Error(`${what} did not happen within ${timeoutMs / 1_000} s (last seen: ${last})`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
