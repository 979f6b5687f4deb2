import { setMaxListeners } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { SecureContextOptions } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import type { Clock } from '../../lib/clock.ts';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import { Failure } from '../../lib/failure.ts';
import { PerKeyLimit } from '../../lib/per-key-limit.ts';
import type { Service } from '../../lib/service.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { Admission, TOO_MANY_REQUESTS } from './admission.ts';
import { Answers } from './answers.ts';
import { BodyIntake } from './body.ts';
import { BytePaths } from './byte-paths.ts';
import { ReadyCalls } from './calls.ts';
import { DirectConnections } from './direct.ts';
import { HttpApiRequest, OpenExchanges } from './exchange.ts';
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
import { Query } from './query.ts';
import { ReadyRuns } from './ready-runs.ts';
import { receiveBodies } from './receive.ts';
import { foreignParameter, RequestGuard, type RequestGuardOptions } from './request-guard.ts';
import type { Route } from './route.ts';
import { createRouter } from './router.ts';
import { sendStream } from './send.ts';
import { type PathEntry, pathTable } from './table.ts';
import { reportUnknownFields, UnknownFieldLog } from './unknown-fields.ts';
import { WholePaths } from './whole-paths.ts';

export interface HttpEdgeDeps {
  readonly routes: readonly Route[];
  /** What stands around the routes: who may ask, what goes on record. It sees a request before its body is taken in. */
  readonly around?: (routes: readonly Route[]) => readonly Route[];
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

const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({});

class Edge implements HttpEdge {
  readonly name = 'http';
  readonly #deps: HttpEdgeDeps;
  readonly #options: HttpEdgeOptions;
  readonly #limits: HttpLimits;
  readonly #limiter: PerKeyLimit;
  readonly #admission: Admission;
  readonly #guard: RequestGuard;
  readonly #exchanges = new OpenExchanges();
  readonly #stopping = new AbortController();
  readonly #bodies: BodyIntake;
  readonly #table: readonly PathEntry[];
  readonly #calls: ReadyCalls;
  readonly #wholePaths: WholePaths;
  readonly #bytePaths: BytePaths;
  readonly #direct: DirectConnections;
  readonly #open: OpenListener[] = [];
  readonly #meters: HttpMeters;
  readonly #answers: Answers;
  readonly #runs: ReadyRuns;
  #app: FastifyInstance | undefined;
  readonly #ending = new Failure();
  readonly onFailure = this.#ending.onFailure;

  constructor(deps: HttpEdgeDeps, options: HttpEdgeOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    const { clock, log, routes, around = (all) => all } = deps;
    const { maxConnectionsPerClient: perKey, maxConnections: total, decideMs, writeMs } = this.#limits;
    this.#limiter = new PerKeyLimit({ perKey, total });
    this.#admission = new Admission(this.#limits);
    this.#bodies = new BodyIntake(this.#limits);
    this.#guard = new RequestGuard(options);
    const read = reportUnknownFields(routes, new UnknownFieldLog(log));
    this.#table = pathTable(around(receiveBodies(read, { bodies: this.#bodies, clock, decideMs })));
    this.#meters = createHttpMeters(deps.metrics, {
      connections: this.#limiter,
      admission: this.#admission,
      bodies: this.#bodies,
      table: this.#table,
    });
    const given = Object.entries(options.responseHeaders ?? {}).flat();
    const common = [...given, 'X-Consul-Default-Acl-Policy', options.defaultPolicy];
    this.#answers = new Answers({ common, meters: this.#meters, clock, log, writeMs });
    this.#runs = new ReadyRuns({
      answers: this.#answers,
      admission: this.#admission,
      exchanges: this.#exchanges,
      stopping: this.#stopping.signal,
      onRefused: this.#onRefused,
    });
    const open = this.#table.filter((entry) => !this.#isBlocked(entry));
    this.#calls = new ReadyCalls(open, this.#limits.keptUrls);
    this.#wholePaths = new WholePaths(this.#table);
    this.#bytePaths = new BytePaths(this.#table);
    this.#direct = new DirectConnections({
      limits: this.#limits,
      clock,
      find: (url, headers) => (this.#guard.admits(headers) ? this.#calls.find(url) : undefined),
      run: (ready, token, waiting) => this.#runs.direct(ready, token, waiting),
      handOver: (socket, chunk) => handOver(socket, chunk),
      onRequest: keepConnection,
      onDefect: (error) => this.#answers.defect(error),
    });
    setMaxListeners(0, this.#stopping.signal); // all short reads share it
  }

  get addresses(): readonly HttpAddress[] {
    return this.#open.map((open) => open.address);
  }

  setTls(context: SecureContextOptions): void {
    for (const { setTls } of this.#open) setTls?.(context);
  }

  async start(): Promise<void> {
    this.#app = await createRouter({
      table: this.#table,
      answers: this.#answers,
      maxParamLength: this.#limits.maxHeaderBytes,
      serve: (entry, incoming, response, params) => this.#serve(entry, incoming, response, params),
    });
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
      this.#answers.send(response, TOO_MANY_REQUESTS);
      return;
    }
    if (this.#stopping.signal.aborted) response.shouldKeepAlive = false;
    const refusal = this.#guard.refusal(incoming);
    if (refusal !== undefined) {
      this.#answers.send(response, refusal);
      return;
    }
    const kept = incoming.method === 'GET' ? this.#calls.kept(incoming.url as string) : undefined;
    if (kept !== undefined) {
      this.#runs.parsed(kept, incoming, response);
      return;
    }
    const whole = this.#wholePaths.find(incoming.url as string, incoming.method);
    if (whole !== undefined) {
      this.#serve(whole, incoming, response, NO_PARAMS);
      return;
    }
    const found = this.#bytePaths.find(incoming.url as string, incoming.method);
    if (found === undefined) this.#app?.routing(incoming, response);
    else if ('entry' in found) this.#serve(found.entry, incoming, response, found.params);
    else this.#answers.send(response, found.answer);
  };

  #serve(
    entry: PathEntry,
    incoming: IncomingMessage,
    response: ServerResponse,
    params: Readonly<Record<string, string>>,
  ): void {
    const answers = this.#answers;
    const method = incoming.method as string;
    if (this.#isBlocked(entry)) {
      answers.send(response, { status: 403, text: 'Endpoint is blocked by agent configuration' });
      return;
    }
    const route = entry.routes.get(method);
    if (route === undefined) {
      const headers = { Allow: entry.allow };
      const answer =
        method === 'OPTIONS' ? { headers } : { status: 405, headers, text: `method ${method} not allowed` };
      answers.send(response, answer);
      return;
    }
    const url = incoming.url as string;
    if (route.prepare !== undefined) {
      try {
        this.#runs.parsed(this.#calls.make(url, entry, params), incoming, response);
      } catch (error) {
        answers.fail(entry, response, error);
      }
      return;
    }
    entry.requests += 1;
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    const query = new Query(mark < 0 ? '' : url.slice(mark + 1));
    const foreign = foreignParameter(query, route.method !== 'GET');
    if (foreign !== undefined) {
      answers.send(response, { status: 400, text: foreign });
      return;
    }
    if (route.method === 'GET' && (query.has('index') || query.has('hash')) && !this.#runs.mayWatch(response)) return;
    const exchange = { incoming, response, open: this.#exchanges };
    const request = new HttpApiRequest(exchange, { path, params, query });
    this.#handle(entry, route, request, response).catch((error: unknown) => answers.defect(error, response));
  }

  async #handle(entry: PathEntry, route: Route, request: HttpApiRequest, response: ServerResponse): Promise<void> {
    const answers = this.#answers;
    const { writeMs } = this.#limits;
    try {
      const compiled = answers.ofRoute(entry, await route.handle(request), request.query.has('pretty'));
      if (compiled.stream === undefined) answers.write(response, compiled);
      else if (this.#runs.mayWatch(response))
        await sendStream(response, compiled, request.signal, this.#deps.clock, writeMs);
      else request.controller.abort();
    } catch (error) {
      if (hasCode(error, 'too_large')) this.#meters.refused.add(1, { reason: 'body-too-large' });
      answers.fail(entry, response, error);
    }
  }

  #isBlocked(entry: PathEntry): boolean {
    return this.#options.blockEndpoints?.some((prefix) => entry.path.startsWith(prefix)) === true;
  }
}
