import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { changeHeaders } from '../../model/layer7/headers.ts';
import type { HeaderLine, HttpRequest } from '../../model/layer7/request.ts';
import {
  chooseSplit,
  type Destination,
  matchRoute,
  type Route,
  rewrittenPath,
} from '../../model/layer7/route-table.ts';
import type { UpstreamOptions } from '../../model/proxy-options.ts';
import type { SidecarRequests } from '../../model/sidecar.ts';
import { HttpAcceptor } from '../http/acceptor.ts';
import { forward, type Place } from '../http/forward.ts';
import { answerLocally, DENIED, disconnected, type LocalReply, NO_INSTANCE, OVERLOADED } from '../http/local-reply.ts';
import { Origin, type OriginConnection } from '../http/origin.ts';
import { RequestMeter } from '../http/request-meter.ts';
import type { ServerCall } from '../http/server-call.ts';
import { withoutCaller } from '../wire/caller-header.ts';
import type { OpenConnection } from '../wire/open-connections.ts';
import type { Candidate } from './balancer.ts';
import { createChooser } from './chooser.ts';
import type { UpstreamDeps } from './deps.ts';
import { DialError } from './dialer.ts';
import { HeldBalancer } from './held-balancer.ts';
import type { Instance } from './instance.ts';
import { toleranceOf } from './outlier.ts';
import { type Hashed, hashRequest } from './request-hash.ts';

export type OutboundRequestDeps = UpstreamDeps & {
  readonly key: string;
  readonly options: UpstreamOptions;
};

interface Destined {
  readonly destination: Destination;
  readonly balancer: HeldBalancer;
}

/** Where one request is going. */
interface Way {
  readonly route: Route;
  readonly destined: Destined;
  readonly head: HttpRequest;
  readonly hashed: Hashed;
  readonly answer: (headers: readonly HeaderLine[]) => readonly HeaderLine[];
}

/** The requests of the application to one upstream: each is routed, split, balanced and tried by itself. */
export class OutboundRequests {
  readonly #deps: OutboundRequestDeps;
  readonly #acceptor: HttpAcceptor<string>;
  readonly #meter: RequestMeter;
  readonly #destined = new Map<string, Destined>();
  readonly #origins = new Map<Instance, Origin>();
  #requests: SidecarRequests;
  #underWay = 0;

  constructor(requests: SidecarRequests, deps: OutboundRequestDeps) {
    this.#deps = deps;
    this.#requests = requests;
    this.#meter = new RequestMeter(deps.meters, 'outbound');
    this.#acceptor = new HttpAcceptor({
      onCall: (call, from) => this.#call(call, from),
      onBad: (error) => deps.refusals.refuse('outbound', 'bad_request', deps.key, { upstream: deps.key, error }),
    });
    this.set(requests);
  }

  get protocol(): string {
    return this.#requests.table.protocol;
  }

  /** For requests from here on. */
  set(requests: SidecarRequests): void {
    const { table, endpoints } = requests;
    this.#requests = requests;
    for (const [id, { destination, balancer }] of this.#destined) {
      if (sameDestination(table.destinations[id], destination)) continue;
      this.#destined.delete(id);
      balancer.set([]);
    }
    for (const [id, destination] of Object.entries(table.destinations)) {
      const known = this.#destined.get(id);
      const balancer = known?.balancer ?? this.#balancerOf(destination);
      this.#destined.set(id, { destination, balancer });
      const of = destination.targets.flatMap((target) => endpoints[target] ?? []);
      balancer.set([...of.filter((each) => !each.lastResort), ...of.filter((each) => each.lastResort)]);
    }
    this.#closeUnused();
  }

  /** A connection of the application. */
  accept(stream: Duplex, from: string): void {
    this.#acceptor.accept(stream, from);
  }

  drain(): void {
    this.#acceptor.drain();
    for (const { balancer } of this.#destined.values()) balancer.set([]);
    this.#destined.clear();
    this.#closeUnused();
  }

  #balancerOf({ balancer }: Destination): HeldBalancer {
    const { random } = this.#deps;
    const protocols = this.protocol === 'http' ? ['http/1.1'] : ['h2'];
    return new HeldBalancer(this.#deps, protocols, () => createChooser<Candidate<Instance>>(balancer, random));
  }

  #closeUnused(): void {
    const used = new Set([...this.#destined.values()].flatMap(({ balancer }) => [...balancer.instances()]));
    for (const [instance, origin] of this.#origins) {
      if (used.has(instance)) continue;
      this.#origins.delete(instance);
      origin.close();
    }
  }

  #call(call: ServerCall, from: string): void {
    const { maxConcurrentRequests } = this.#deps.options;
    const way = this.#wayOf(call.head, from);
    if (way === undefined || (maxConcurrentRequests !== undefined && this.#underWay >= maxConcurrentRequests)) {
      const reply = way === undefined ? NOT_FOUND : OVERLOADED;
      this.#meter.onDone(reply.status);
      answerLocally(call, reply);
      return;
    }
    const { budget, clock, limits, tasks } = this.#deps;
    const { route, head, answer } = way;
    this.#underWay += 1;
    forward(
      call,
      {
        head,
        answer,
        requestTimeoutMs: route.requestTimeoutMs,
        idleTimeoutMs: route.idleTimeoutMs ?? limits.requestIdleMs,
        ...(route.retries === undefined ? {} : { retries: route.retries }),
        next: this.#places(way),
      },
      {
        clock,
        budget,
        signal: tasks.signal,
        keep: limits.retryBytes,
        onRetry: this.#meter.onRetry,
        onDone: (status) => {
          this.#underWay -= 1;
          this.#meter.onDone(status);
        },
      },
    );
  }

  #wayOf(given: HttpRequest, from: string): Way | undefined {
    const request = { ...given, headers: withoutCaller(given.headers) };
    const { table } = this.#requests;
    const route = matchRoute(table, request);
    if (route === undefined) return undefined;
    const split = chooseSplit(route, this.#deps.random());
    const destined = this.#destined.get(split.destination);
    if (destined === undefined) return undefined;
    const hashed = hashRequest(route.hashPolicies, request, from, () => randomBytes(16).toString('hex'));
    const headers = changeHeaders(changeHeaders(request.headers, split.requestHeaders), route.requestHeaders);
    return {
      route,
      destined,
      hashed,
      head: { ...request, path: rewrittenPath(route, request.path), ...withHost(headers, request.authority) },
      answer: (lines) => [
        ...changeHeaders(changeHeaders(lines, split.responseHeaders), route.responseHeaders),
        ...hashed.cookies,
      ],
    };
  }

  /** The instances that one request is tried at. All may be tried once more for a retry that the route asks for. */
  #places({ destined: { balancer }, route, hashed }: Way): () => Place | undefined {
    const { limits } = this.#deps;
    const tried = new Set<Instance>();
    let left = balancer.maxTries(limits.maxAttempts) + (route.retries?.count ?? 0);
    return () => {
      if (left === 0) return undefined;
      left -= 1;
      let candidate = balancer.pick(tried, hashed.hash);
      if (candidate === undefined && route.retries !== undefined) {
        tried.clear();
        candidate = balancer.pick(tried, hashed.hash);
      }
      if (candidate === undefined) return undefined;
      tried.add(candidate.instance);
      return this.#place(candidate);
    };
  }

  #place({ instance, connectTimeoutMs }: Candidate<Instance>): Place {
    const { options } = this.#deps;
    const tolerance = toleranceOf(options.passiveHealthCheck);
    instance.load += 1;
    return {
      origin: this.#originOf(instance, connectTimeoutMs),
      answered: ({ status }) => {
        // Answers count only when the upstream says how many it takes.
        if (options.passiveHealthCheck.maxFailures === undefined || status < 500) instance.succeeded();
        else instance.failed('bad_answer', tolerance);
      },
      failed: (failure, error) => {
        if (failure !== 'connect') return undefined;
        const dial = error instanceof DialError ? error : undefined;
        if (dial?.retry === false) return this.#refuse(dial);
        instance.failed(dial?.reason ?? 'unreachable', tolerance);
        return undefined;
      },
      ended: () => {
        instance.load -= 1;
      },
    };
  }

  #originOf(instance: Instance, timeoutMs: number | undefined): Origin {
    let origin = this.#origins.get(instance);
    if (origin === undefined) {
      const { clock, limits, trust } = this.#deps;
      const connect = (): Promise<OriginConnection> => this.#connect(instance, timeoutMs);
      origin = new Origin({ clock, connect, generation: trust, idleMs: limits.pooledIdleMs });
      this.#origins.set(instance, origin);
    }
    return origin;
  }

  async #connect(instance: Instance, timeoutMs: number | undefined): Promise<OriginConnection> {
    const { isRefused, limits, meters, open, options } = this.#deps;
    const far = await instance.connect(options.connectTimeoutMs ?? timeoutMs ?? limits.connectTimeoutMs);
    if (isRefused(far.peer)) {
      far.reset();
      throw new DialError('denied', 'the service may not connect to it', { retry: false });
    }
    const connection: OpenConnection = { peer: far.peer, abort: far.reset };
    open.add(connection);
    far.stream.once('close', () => open.remove(connection));
    meters.opened.add(1, { direction: 'outbound' });
    return { ...far, http2: far.protocol === undefined ? this.protocol !== 'http' : far.protocol === 'h2' };
  }

  #refuse(error: DialError): LocalReply {
    const { key, refusals } = this.#deps;
    refusals.refuse('outbound', error.reason, key, { upstream: key, error: error.message, ...error.details });
    if (error.reason === 'denied') return DENIED;
    return error.reason === 'no_instance' ? NO_INSTANCE : disconnected(error.reason);
  }
}

const NOT_FOUND: LocalReply = { status: 404, text: '' };

function sameDestination(a: Destination | undefined, b: Destination): boolean {
  return a !== undefined && JSON.stringify(a.balancer) === JSON.stringify(b.balancer);
}

/** A route that changes the host changes the authority. */
function withHost(headers: readonly HeaderLine[], authority: string): Pick<HttpRequest, 'headers' | 'authority'> {
  const host = headers.findLast(([name]) => name === 'host' || name === ':authority')?.[1];
  if (host === undefined) return { headers, authority };
  return { headers: headers.filter(([name]) => name !== 'host' && name !== ':authority'), authority: host };
}
