import * as http from 'node:http';
import * as https from 'node:https';
import type { Clock } from '../../../lib/clock.ts';
import { DEFAULT_TIMEOUT_MS, dialError, timeoutError } from './dial-error.ts';
import { type CheckReach, lookupFor, requireReach, USUAL_REACH } from './reach.ts';
import { type CheckResult, MAX_OUTPUT } from './runner.ts';

export interface HttpProbe {
  readonly url: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, readonly string[]>>;
  readonly body?: string;
  readonly timeoutMs?: number;
  /** Bytes of the response's body that are kept. */
  readonly maxOutput?: number;
  readonly skipVerify?: boolean;
  readonly serverName?: string;
  /** `disable_redirects`: a redirect is the answer. */
  readonly stay?: boolean;
  /** Default: neither link-local addresses nor redirects to another host. */
  readonly reach?: CheckReach;
}

const MAX_REDIRECTS = 10;

interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly location: string | undefined;
  readonly body: string;
  readonly note?: string;
}

/**
 * Passing on 2xx, warning on 429, critical on all else; the body's start is the output. Redirects are followed on the
 * same host: another one is not what was registered to be asked, and may be one that only this machine reaches.
 */
export async function probeHttp(clock: Clock, probe: HttpProbe, signal: AbortSignal): Promise<CheckResult> {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const timer = clock.after(probe.timeoutMs || DEFAULT_TIMEOUT_MS, () => controller.abort(timeoutError()));
  const method = (probe.method || 'GET').toUpperCase();
  try {
    const answer = await follow(probe, method, controller.signal);
    const output =
      `HTTP ${method} ${probe.url}: ${answer.status} ${answer.reason} Output: ` + `${answer.body}${answer.note ?? ''}`;
    const passing = answer.status >= 200 && answer.status <= 299;
    return { status: passing ? 'passing' : answer.status === 429 ? 'warning' : 'critical', output };
  } catch (error) {
    const verb = method.charAt(0) + method.slice(1).toLowerCase();
    return {
      status: 'critical',
      output: `${verb} ${JSON.stringify(probe.url)}: ${reasonOf(error, probe, controller.signal)}`,
    };
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', onAbort);
  }
}

async function follow(probe: HttpProbe, method: string, signal: AbortSignal): Promise<Answer> {
  let url = new URL(probe.url);
  for (let hops = 0; ; hops += 1) {
    const answer = await request(url, probe, method, signal);
    const redirected = [301, 302, 303, 307, 308].includes(answer.status) && (method === 'GET' || method === 'HEAD');
    if (!redirected || answer.location === undefined || probe.stay === true) return answer;
    if (hops >= MAX_REDIRECTS) throw new Error(`stopped after ${MAX_REDIRECTS} redirects`);
    const next = new URL(answer.location, url);
    if (next.hostname !== url.hostname && probe.reach?.redirectHosts !== true)
      return { ...answer, note: ` (not followed to ${next.hostname}: see check_allow_redirect_hosts)` };
    url = next;
  }
}

function request(url: URL, probe: HttpProbe, method: string, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      reject(new Error(`unsupported protocol scheme ${JSON.stringify(url.protocol.replace(':', ''))}`));
      return;
    }
    const reach = probe.reach ?? USUAL_REACH;
    requireReach(url.hostname.replace(/^\[(.*)\]$/, '$1'), reach);
    const lookup = lookupFor(reach);
    const options: https.RequestOptions = {
      ...(lookup === undefined ? {} : { lookup }),
      method,
      signal,
      agent: false, // one connection for each run: a kept one would hide a dead listener
      headers: { 'User-Agent': 'Consul Health Check', Accept: 'text/plain, text/*, */*', ...spread(probe.headers) },
      rejectUnauthorized: probe.skipVerify !== true,
      ...(probe.serverName ? { servername: probe.serverName } : {}),
    };
    const sent = url.protocol === 'https:' ? https.request(url, options) : http.request(url, options);
    const limit = probe.maxOutput || MAX_OUTPUT;
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const finish = (): void =>
        resolve({
          status: response.statusCode ?? 0,
          reason: response.statusMessage || http.STATUS_CODES[response.statusCode ?? 0] || '',
          location: response.headers.location,
          body: Buffer.concat(chunks).subarray(0, limit).toString('utf8'),
        });
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size < limit) return;
        finish(); // the rest is not wanted, however long it is
        sent.destroy();
      });
      response.on('end', finish);
      response.on('error', reject);
    });
    sent.end(probe.body ?? '');
  });
}

function spread(headers: HttpProbe['headers']): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(headers ?? {}).map(([name, values]) => [
      name,
      values.length === 1 ? (values[0] as string) : [...values],
    ]),
  );
}

function reasonOf(error: unknown, probe: HttpProbe, signal: AbortSignal): string {
  if (signal.aborted) return 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
  if (!URL.canParse(probe.url)) return 'invalid URL';
  const url = new URL(probe.url);
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return dialError(error, `${url.hostname}:${port}`);
}
