import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Clock } from '../lib/clock.ts';
import { tryParseDuration } from '../lib/duration.ts';
import { IsthmusError } from '../lib/errors.ts';
import { runProgram } from '../lib/program.ts';
import { withDeadline } from '../lib/signals.ts';
import type { WatchParams } from './plan.ts';

/** Carries out what a watch is for; rejects when that failed. */
export type WatchHandler = (index: string, data: unknown, signal: AbortSignal) => Promise<void>;

export interface HandlerDeps {
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Gets what a script wrote, cut. */
  readonly onOutput: (output: string) => void;
}

/** Bytes of a script's output that are kept. */
const MAX_OUTPUT = 4_096;
const DEFAULT_HTTP_TIMEOUT_MS = 10_000;

/** The handler that a watch in a configuration file names. Throws `invalid_argument` with what is wrong. */
export function watchHandler(params: WatchParams, deps: HandlerDeps): WatchHandler {
  const { handler_type: type = 'script', handler, args, http_handler_config: http } = params;
  if (type === 'http') {
    if (handler !== undefined || args !== undefined)
      throw refused('handler_type "http" takes "http_handler_config" only');
    return httpHandler(http, deps);
  }
  if (type !== 'script') throw refused(`Handler type '${String(type)}' not recognized`);
  if (http !== undefined) throw refused('"http_handler_config" goes with handler_type "http"');
  if (handler !== undefined && args !== undefined) throw refused('Only one of "args" and "handler" may be given');
  if (typeof handler === 'string' && handler !== '') return scriptHandler(['sh', '-c', handler], deps);
  if (Array.isArray(args) && args.length > 0 && args.every((each) => typeof each === 'string'))
    return scriptHandler(args as readonly string[], deps);
  throw refused('a watch needs "args", a list of texts, or handler_type "http"');
}

/** JSON on standard input, CONSUL_INDEX in the environment. It may take its time; the next call waits. */
function scriptHandler(args: readonly string[], { clock, env, onOutput }: HandlerDeps): WatchHandler {
  return async (index, data, signal) => {
    const end = await runProgram({
      args,
      env: { ...env, CONSUL_INDEX: index },
      input: jsonLine(data),
      timeoutMs: Number.POSITIVE_INFINITY,
      maxOutput: MAX_OUTPUT,
      clock,
      signal,
    });
    const text = end.output.toString('utf8');
    const note = end.written > end.output.length ? `Captured ${end.output.length} of ${end.written} bytes\n...\n` : '';
    if (text !== '') onOutput(note + text);
    if (end.kind === 'failed') throw new IsthmusError('unavailable', end.reason);
    if (end.code !== 0) throw new IsthmusError('unavailable', `exit status ${end.code}`);
  };
}

/** As Go's encoder writes it: one line. */
export function jsonLine(data: unknown): string {
  return `${JSON.stringify(data)}\n`;
}

interface HttpHandlerConfig {
  readonly url: URL;
  readonly method: string;
  readonly timeoutMs: number;
  readonly header: Readonly<Record<string, readonly string[]>>;
  readonly skipVerify: boolean;
}

function httpHandler(given: unknown, { clock }: HandlerDeps): WatchHandler {
  const config = httpConfig(given);
  return async (index, data, signal) => {
    const linked = withDeadline(clock, config.timeoutMs, 'the handler', signal);
    try {
      const status = await post(config, index, jsonLine(data), linked.signal);
      if (status < 200 || status > 299)
        throw new IsthmusError('unavailable', `${config.url.origin} answered with status ${status}`);
    } finally {
      linked.release();
    }
  };
}

/** Lower case and without underscores, as files may spell it either way. */
const canonical = (key: string): string => key.toLowerCase().replaceAll('_', '');

function httpConfig(given: unknown): HttpHandlerConfig {
  if (typeof given !== 'object' || given === null) throw refused('handler_type "http" needs "http_handler_config"');
  const fields = Object.fromEntries(Object.entries(given).map(([key, value]) => [canonical(key), value as unknown]));
  const { path, method = '', timeout = '', header = {}, tlsskipverify = false, ...unknown } = fields;
  const [odd] = Object.keys(unknown);
  if (odd !== undefined) throw refused(`unknown key "http_handler_config.${odd}"`);
  if (typeof path !== 'string' || path === '') throw refused('Requires "path" to be set');
  if (!URL.canParse(path) || !/^https?:/.test(path)) throw refused('"http_handler_config.path" must be a URL');
  if (typeof method !== 'string' || !/^[A-Za-z]*$/.test(method))
    throw refused('"http_handler_config.method" must be a method of HTTP');
  const timeoutMs = typeof timeout === 'string' ? (timeout === '' ? 0 : tryParseDuration(timeout)) : undefined;
  if (timeoutMs === undefined || timeoutMs < 0) throw refused('"http_handler_config.timeout" must be a duration');
  if (typeof tlsskipverify !== 'boolean') throw refused('"http_handler_config.tls_skip_verify" must be true or false');
  return {
    url: new URL(path),
    method: method.toUpperCase() || 'POST',
    timeoutMs: timeoutMs || DEFAULT_HTTP_TIMEOUT_MS,
    header: headersOf(header),
    skipVerify: tlsskipverify,
  };
}

function headersOf(given: unknown): Record<string, readonly string[]> {
  if (typeof given !== 'object' || given === null) throw refused('"http_handler_config.header" must be a block');
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      const values = Array.isArray(value) ? (value as readonly unknown[]) : [value];
      if (!values.every((each) => typeof each === 'string'))
        throw refused(`"http_handler_config.header.${name}" must be a list of texts`);
      return [name, values as readonly string[]];
    }),
  );
}

function post(config: HttpHandlerConfig, index: string, body: string, signal: AbortSignal): Promise<number> {
  const { url, method, header, skipVerify } = config;
  return new Promise((resolve, reject) => {
    const options = {
      method,
      signal,
      agent: false as const,
      rejectUnauthorized: !skipVerify,
      headers: {
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(body),
        'X-Consul-Index': index,
        ...Object.fromEntries(Object.entries(header).map(([name, values]) => [name, [...values]])),
      },
    };
    const sent = url.protocol === 'https:' ? requestHttps(url, options) : requestHttp(url, options);
    sent.on('error', (error) => reject(signal.aborted ? (signal.reason as Error) : error));
    sent.on('response', (response) => {
      response.on('error', reject);
      response.on('end', () => resolve(response.statusCode ?? 0));
      response.resume(); // its body is nothing to us
    });
    sent.end(body);
  });
}

function refused(text: string): IsthmusError {
  return new IsthmusError('invalid_argument', text);
}
