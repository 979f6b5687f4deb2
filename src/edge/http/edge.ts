import { setMaxListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { SecureContextOptions } from 'node:tls';
import { type FastifyInstance, fastify } from 'fastify';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { Failure } from '../../lib/failure.ts';
import { PerKeyLimit } from '../../lib/per-key-limit.ts';
import type { Service } from '../../lib/service.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { Admission, TOO_MANY_REQUESTS, TOO_MANY_WATCHERS } from './admission.ts';
import { type ReadyCall, ReadyCalls } from './calls.ts';
import { type CompiledResponse, compileResponse } from './compiled.ts';
import { DirectConnections, type Waiting } from './direct.ts';
import { errorResponse } from './error-response.ts';
import { exchangeSignal, HttpApiRequest, OpenExchanges } from './exchange.ts';
import { DEFAULT_LIMITS, type HttpLimits } from './limits.ts';
import {
  closeListener,
  type HttpAddress,
  type HttpListener,
  handOver,
  isRefused,
  keepConnection,
  type OpenListener,
  openListener,
  type RefusalReason,
} from './listen.ts';
import { createHttpMeters, type HttpMeters } from './meters.ts';
import { NO_SCHEMAS } from './no-schemas.ts';
import { Query } from './query.ts';
import { foreignParameter, RequestGuard, type RequestGuardOptions } from './request-guard.ts';
import type { ApiResponse, Route } from './route.ts';
import { sendResponse, sendStream } from './send.ts';
import { type PathEntry, pathTable } from './table.ts';
import { requestToken } from './token.ts';
import { unknownEndpoint } from './unknown.ts';

export interface HttpEdgeDeps {
  readonly routes: readonly Route[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface HttpEdgeOptions extends RequestGuardOptions {
  readonly listeners: readonly HttpListener[];
  /** Shown in a header of every answer. */
  readonly defaultPolicy: 'allow' | 'deny';
  readonly limits?: Partial<HttpLimits>;
  /** `http_config.response_headers` */
  readonly responseHeaders?: Readonly<Record<string, string>>;
  /** `http_config.block_endpoints`: path prefixes that are answered 403. */
  readonly blockEndpoints?: readonly string[];
}

export interface HttpEdge extends Service {
  /** Bound addresses in the order of the listeners; empty before the start. */
  readonly addresses: readonly HttpAddress[];
  /** New connections to the HTTPS listeners use these certificates; open ones stay. */
  setTls(context: SecureContextOptions): void;
}

/** Opens the HTTP API. */
export function createHttpEdge(deps: HttpEdgeDeps, options: HttpEdgeOptions): HttpEdge {
  return new Edge(deps, options);
}

class Edge implements HttpEdge {
  readonly name = 'http';
  readonly #deps: HttpEdgeDeps;
  readonly #options: HttpEdgeOptions;
  readonly #limits: HttpLimits;
  readonly #common: readonly string[];
  readonly #limiter: PerKeyLimit;
  readonly #admission: Admission;
  readonly #guard: RequestGuard;
  readonly #exchanges = new OpenExchanges();
  readonly #stopping = new AbortController();
  readonly #compiled = new WeakMap<ApiResponse, CompiledResponse>();
  readonly #table: readonly PathEntry[];
  readonly #calls: ReadyCalls;
  readonly #direct: DirectConnections;
  readonly #open: OpenListener[] = [];
  readonly #meters: HttpMeters;
  #app: FastifyInstance | undefined;
  readonly #ending = new Failure();
  readonly onFailure = this.#ending.onFailure;

  constructor(deps: HttpEdgeDeps, options: HttpEdgeOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#common = [
      ...Object.entries(options.responseHeaders ?? {}).flat(),
      'X-Consul-Default-Acl-Policy',
      options.defaultPolicy,
    ];
    const { maxConnectionsPerClient: perKey, maxConnections: total } = this.#limits;
    this.#limiter = new PerKeyLimit({ perKey, total });
    this.#admission = new Admission(this.#limits);
    this.#guard = new RequestGuard(options);
    this.#table = pathTable(deps.routes);
    const open = this.#table.filter((entry) => !this.#isBlocked(entry));
    this.#calls = new ReadyCalls(open, this.#limits.keptUrls);
    this.#direct = new DirectConnections({
      limits: this.#limits,
      clock: deps.clock,
      find: (url, headers) => (this.#guard.admits(headers) ? this.#calls.find(url) : undefined),
      run: (ready, token, waiting) => this.#runDirect(ready, token, waiting),
      handOver: (socket, chunk) => handOver(socket, chunk),
      onRequest: keepConnection,
      onDefect: (error) => this.#onDefect(error),
    });
    setMaxListeners(0, this.#stopping.signal); // all short reads share it
    this.#meters = createHttpMeters(deps.metrics, {
      connections: this.#limiter,
      admission: this.#admission,
      table: this.#table,
    });
  }

  get addresses(): readonly HttpAddress[] {
    return this.#open.map((open) => open.address);
  }

  setTls(context: SecureContextOptions): void {
    for (const { setTls } of this.#open) setTls?.(context);
  }

  async start(): Promise<void> {
    const app = fastify({
      logger: false,
      exposeHeadRoutes: false,
      schemaController: { compilersFactory: NO_SCHEMAS },
      bodyLimit: this.#limits.maxBodyBytes,
      // Routes parse the query themselves, as Go does.
      routerOptions: { maxParamLength: this.#limits.maxHeaderBytes, querystringParser: () => ({}) },
      frameworkErrors: (_error, _request, reply) => {
        reply.hijack();
        this.#send(reply.raw, { status: 400, text: 'Bad Request' });
      },
    });
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
    app.setNotFoundHandler((request, reply) => {
      reply.hijack();
      this.#send(reply.raw, unknownEndpoint(request.raw.url ?? ''));
    });
    app.setErrorHandler(
      (error: { readonly code?: string; readonly statusCode?: number; readonly message: string }, _request, reply) => {
        reply.hijack();
        this.#send(reply.raw, this.#frameworkFailure(error));
      },
    );
    for (const entry of this.#table) if (!takesStream(entry)) this.#addRoute(app, entry);
    // In a scope of their own: there, bodies are left to whoever reads them.
    app.register(async (scope) => {
      scope.removeAllContentTypeParsers();
      scope.addContentTypeParser('*', (_request, _payload, done) => done(null, undefined));
      for (const entry of this.#table) if (takesStream(entry)) this.#addRoute(scope, entry);
    });
    await app.ready();
    this.#app = app;
    const listenDeps = {
      limiter: this.#limiter,
      limits: this.#limits,
      clock: this.#deps.clock,
      direct: this.#direct,
      onRefused: this.#onRefused,
      failure: this.#ending,
      onPassing: (error: Error) => this.#deps.log.warn('a connection was not taken', { error: error.message }),
      closing: () => this.#stopping.signal.aborted,
    };
    try {
      for (const listener of this.#options.listeners) {
        this.#open.push(await openListener(listener, this.#onRequest, listenDeps));
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  #addRoute(app: FastifyInstance, entry: PathEntry): void {
    app.route({
      method: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS'],
      url: entry.pattern,
      handler: (request, reply) => {
        reply.hijack();
        const body = Buffer.isBuffer(request.body) ? request.body : NO_BODY;
        this.#serve(entry, request.raw, reply.raw, entry.paramsOf(request.params as Record<string, string>), body);
      },
    });
  }

  /** Answers everything that waits, gives the rest a moment, closes all connections. */
  async stop(): Promise<void> {
    const reason = new IsthmusError('cancelled', 'the agent is stopping');
    this.#stopping.abort(reason);
    this.#exchanges.abortAll(reason);
    this.#direct.stop();
    const drained = this.#admission.drained(this.#deps.clock, this.#limits.drainMs).then(() => this.#direct.closeAll());
    await Promise.all(this.#open.splice(0).map((open) => closeListener(open, drained)));
    await this.#app?.close();
  }

  readonly #onRefused = (reason: RefusalReason, client: string): void => {
    this.#meters.refused.add(1, { reason });
    this.#deps.log.info('http client refused', { reason, client });
  };

  /** The way of every request that Node's HTTP server has parsed. */
  readonly #onRequest = (incoming: IncomingMessage, response: ServerResponse): void => {
    if (isRefused(incoming.socket)) return;
    keepConnection(incoming.socket);
    const admitted = this.#admission.enter();
    response.once('close', this.#admission.leave);
    if (!admitted) {
      this.#onRefused('in-flight', incoming.socket.remoteAddress ?? '');
      this.#send(response, TOO_MANY_REQUESTS);
      return;
    }
    if (this.#stopping.signal.aborted) response.shouldKeepAlive = false;
    const refusal = this.#guard.refusal(incoming);
    if (refusal !== undefined) {
      this.#send(response, refusal);
      return;
    }
    const kept = incoming.method === 'GET' ? this.#calls.kept(incoming.url as string) : undefined;
    if (kept === undefined) this.#app?.routing(incoming, response);
    else this.#runParsed(kept, incoming, response);
  };

  #runParsed(ready: ReadyCall, incoming: IncomingMessage, response: ServerResponse): void {
    if (ready.call.waits && !this.#mayWatch(response)) return;
    const signal = ready.call.waits ? exchangeSignal(response, this.#exchanges).signal : this.#stopping.signal;
    this.#run(ready, requestToken(incoming.rawHeaders, ready.query), signal)
      .then((compiled) => sendResponse(response, compiled, this.#deps.clock, this.#limits.writeMs))
      .catch((error: unknown) => this.#onDefect(error, response));
  }

  /** True when the client may have one more open request that waits; otherwise it is refused. */
  #mayWatch(response: ServerResponse): boolean {
    const client = response.socket?.remoteAddress;
    const { watchers } = this.#admission;
    const slot = watchers.admit(client);
    if (slot === undefined) {
      this.#onRefused('watchers', client ?? '');
      this.#send(response, TOO_MANY_WATCHERS);
      return false;
    }
    response.once('close', slot.release);
    return true;
  }

  async #runDirect(
    ready: ReadyCall,
    token: string | undefined,
    waiting: Waiting | undefined,
  ): Promise<CompiledResponse> {
    try {
      if (!this.#admission.enter()) {
        this.#onRefused('in-flight', waiting?.client ?? '');
        return compileResponse(TOO_MANY_REQUESTS, this.#common, false);
      }
      if (waiting === undefined) return await this.#run(ready, token, this.#stopping.signal);
      return await this.#runWaiting(ready, token, waiting);
    } finally {
      // While stopping, the answer must be written before whoever waits for the last request gets to run.
      if (this.#stopping.signal.aborted) setImmediate(this.#admission.leave);
      else this.#admission.leave();
    }
  }

  async #runWaiting(ready: ReadyCall, token: string | undefined, waiting: Waiting): Promise<CompiledResponse> {
    const { client, controller } = waiting;
    const slot = this.#admission.watchers.admit(client);
    if (slot === undefined) {
      this.#onRefused('watchers', client ?? '');
      return compileResponse(TOO_MANY_WATCHERS, this.#common, false);
    }
    this.#exchanges.add(controller);
    try {
      return await this.#run(ready, token, controller.signal);
    } finally {
      this.#exchanges.delete(controller);
      slot.release();
    }
  }

  /** Never rejects: a failure becomes the answer that tells it. */
  async #run(ready: ReadyCall, token: string | undefined, signal: AbortSignal): Promise<CompiledResponse> {
    const { call, entry, pretty } = ready;
    entry.requests += 1;
    try {
      const answer = await call.run(token, signal);
      let compiled = this.#compiled.get(answer);
      if (compiled === undefined) {
        compiled = compileResponse(answer, this.#common, pretty);
        this.#compiled.set(answer, compiled);
      }
      if (compiled.status >= 400) this.#meters.failures.add(1, { path: entry.path, status: String(compiled.status) });
      return compiled;
    } catch (error) {
      return compileResponse(this.#failure(entry, error), this.#common, false);
    }
  }

  #serve(
    entry: PathEntry,
    incoming: IncomingMessage,
    response: ServerResponse,
    params: Readonly<Record<string, string>>,
    body: Buffer,
  ): void {
    const method = incoming.method as string;
    if (this.#isBlocked(entry)) {
      this.#send(response, { status: 403, text: 'Endpoint is blocked by agent configuration' });
      return;
    }
    const route = entry.routes.get(method);
    if (route === undefined) {
      const headers = { Allow: entry.allow };
      const answer =
        method === 'OPTIONS' ? { headers } : { status: 405, headers, text: `method ${method} not allowed` };
      this.#send(response, answer);
      return;
    }
    const url = incoming.url as string;
    if (route.prepare !== undefined) {
      try {
        this.#runParsed(this.#calls.make(url, entry, params), incoming, response);
      } catch (error) {
        this.#fail(entry, response, error);
      }
      return;
    }
    entry.requests += 1;
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const query = new Query(mark < 0 ? '' : url.slice(mark + 1));
    const foreign = foreignParameter(query, route.method !== 'GET');
    if (foreign !== undefined) {
      this.#send(response, { status: 400, text: foreign });
      return;
    }
    if (route.method === 'GET' && (query.has('index') || query.has('hash')) && !this.#mayWatch(response)) return;
    const exchange = { incoming, response, open: this.#exchanges };
    const request = new HttpApiRequest(exchange, { path, params, query, body });
    this.#handle(entry, route, request, response).catch((error: unknown) => this.#onDefect(error, response));
  }

  async #handle(entry: PathEntry, route: Route, request: HttpApiRequest, response: ServerResponse): Promise<void> {
    const { clock } = this.#deps;
    const { decideMs } = this.#limits;
    const limit =
      route.method === 'GET' || route.body === 'stream'
        ? undefined
        : clock.after(decideMs, () =>
            request.controller.abort(new IsthmusError('deadline', `not decided within ${decideMs} ms`)),
          );
    try {
      const answer = await route.handle(request);
      const compiled = compileResponse(answer, this.#common, request.query.has('pretty'));
      if (compiled.status >= 400) this.#meters.failures.add(1, { path: entry.path, status: String(compiled.status) });
      if (compiled.stream === undefined) sendResponse(response, compiled, clock, this.#limits.writeMs);
      else if (this.#mayWatch(response))
        await sendStream(response, compiled, request.signal, clock, this.#limits.writeMs);
      else request.controller.abort();
    } catch (error) {
      this.#fail(entry, response, error);
    } finally {
      limit?.cancel();
    }
  }

  /** What should not happen while an answer is written costs the connection, not the process. */
  #onDefect(thrown: unknown, response?: ServerResponse): void {
    const error = IsthmusError.from(thrown);
    this.#deps.log.error('http answer failed', { error: error.message, cause: error.cause });
    response?.destroy();
  }

  #isBlocked(entry: PathEntry): boolean {
    return this.#options.blockEndpoints?.some((prefix) => entry.path.startsWith(prefix)) === true;
  }

  #fail(entry: PathEntry, response: ServerResponse, thrown: unknown): void {
    const answer = this.#failure(entry, thrown);
    if (response.headersSent)
      response.destroy(); // a stream that breaks must not look complete
    else this.#send(response, answer);
  }

  #failure(entry: PathEntry, thrown: unknown): ApiResponse {
    const error = IsthmusError.from(thrown);
    const { path } = entry;
    if (error.code === 'internal')
      this.#deps.log.error('http request failed', { path, error: error.message, cause: error.cause });
    const answer = errorResponse(error);
    this.#meters.failures.add(1, { path, status: String(answer.status) });
    return answer;
  }

  #frameworkFailure(error: {
    readonly code?: string;
    readonly statusCode?: number;
    readonly message: string;
  }): ApiResponse {
    if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
      this.#meters.refused.add(1, { reason: 'body-too-large' });
      return { status: 413, text: `Request body too large, max size: ${this.#limits.maxBodyBytes} bytes` };
    }
    if (error.statusCode !== undefined && error.statusCode < 500)
      return { status: error.statusCode, text: error.message };
    this.#deps.log.error('http request failed', { error: error.message });
    return { status: 500, text: error.message };
  }

  #send(response: ServerResponse, answer: ApiResponse): void {
    sendResponse(response, compileResponse(answer, this.#common, false), this.#deps.clock, this.#limits.writeMs);
  }
}

const NO_BODY = Buffer.alloc(0);

function takesStream(entry: PathEntry): boolean {
  return [...entry.routes.values()].some((route) => route.body === 'stream');
}
