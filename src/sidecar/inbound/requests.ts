import { NORMALISED_BY_DEFAULT, normaliseRequest } from '../../model/layer7/normalise-request.ts';
import type { HttpRequest } from '../../model/layer7/request.ts';
import { HttpAcceptor } from '../http/acceptor.ts';
import { forward, type Place } from '../http/forward.ts';
import { answerLocally, DENIED, disconnected, TOO_MANY } from '../http/local-reply.ts';
import { Origin, type OriginConnection } from '../http/origin.ts';
import { RequestMeter } from '../http/request-meter.ts';
import type { ServerCall } from '../http/server-call.ts';
import { withCaller, withoutCaller } from '../wire/caller-header.ts';
import type { Peer } from '../wire/peer.ts';
import type { End } from '../wire/pump.ts';
import { connectTcp, socketEnd } from '../wire/sockets.ts';
import type { InboundDeps } from './deps.ts';
import type { TokenVerifier } from './token-verifier.ts';

export type RequestDeps = Pick<
  InboundDeps,
  'authorizer' | 'budget' | 'clock' | 'requests' | 'limits' | 'local' | 'meters' | 'refusals' | 'tasks' | 'trust'
> & { readonly tokens: TokenVerifier };

/** One connection of the mesh whose requests are taken one by one. */
interface Caller {
  readonly peer: Peer;
  readonly far: End;
}

/** The requests that the mesh sends to the application: each is decided by itself. */
export class InboundRequests {
  readonly #deps: RequestDeps;
  readonly #acceptor: HttpAcceptor<Caller>;
  readonly #meter: RequestMeter;
  #app: { readonly key: string; readonly origin: Origin } | undefined;

  constructor(deps: RequestDeps) {
    this.#deps = deps;
    this.#meter = new RequestMeter(deps.meters, 'inbound');
    this.#acceptor = new HttpAcceptor({
      onCall: (call, caller) => this.#call(call, caller),
      onBad: (error, { peer }) => this.#refuse('bad_request', peer, { error }),
    });
  }

  /** A connection of the mesh, from its first byte. */
  accept(far: End, peer: Peer): void {
    this.#acceptor.accept(far.stream, { peer, far });
  }

  drain(): void {
    this.#acceptor.drain();
    this.#app?.origin.close();
  }

  #call(call: ServerCall, caller: Caller): void {
    const normalised = normaliseRequest(call.head, this.#deps.requests()?.mesh.normalisation ?? NORMALISED_BY_DEFAULT);
    if (normalised.action === 'reject') {
      this.#refuse('bad_request', caller.peer, { error: normalised.reason });
      this.#answer(call, { status: 400, text: normalised.reason });
      return;
    }
    if (normalised.action === 'redirect') {
      this.#answer(call, { status: 307, text: '', headers: [['location', normalised.path]] });
      return;
    }
    const { tokens } = this.#deps;
    const { request } = normalised;
    const waits = tokens.needed();
    if (!waits) {
      this.#decide(call, caller, request, NO_TOKENS);
      return;
    }
    this.#deps.tasks.run('verify tokens', async () => {
      const found = await tokens.verify(request);
      this.#decide(call, caller, found.request, found.tokens);
    });
  }

  #decide(call: ServerCall, { peer }: Caller, request: HttpRequest, tokens: ReadonlyMap<string, unknown>): void {
    const { authorizer, requests, trust } = this.#deps;
    const { service, datacenter } = peer.identity;
    const verdict = authorizer.request({ service, datacenter, request, tokens });
    if (!verdict.allowed) {
      const details = { method: request.method, ...authorizer.explainRequest(verdict) };
      this.#refuse('denied', peer, details);
      this.#answer(call, DENIED);
      return;
    }
    if (requests()?.limiter?.admits(request) === false) {
      this.#answer(call, TOO_MANY);
      return;
    }
    const hidden = requests()?.mesh.sanitizeClientCert === true;
    const headers = hidden ? withoutCaller(request.headers) : withCaller(request.headers, trust().leafUri, peer);
    this.#forward(call, { ...request, headers }, peer);
  }

  #forward(call: ServerCall, head: HttpRequest, peer: Peer): void {
    const { budget, clock, limits, local, tasks } = this.#deps;
    let tried = 0;
    const app = local();
    const place = (): Place | undefined => {
      tried += 1;
      if (tried > MAX_ATTEMPTS) return undefined;
      return {
        origin: this.#origin(),
        answered: () => undefined,
        failed: (failure, error) => {
          if (failure !== 'connect') return undefined;
          this.#refuse('local_unreachable', peer, { error: error instanceof Error ? error.message : String(error) });
          return disconnected('remote connection failure');
        },
        ended: () => undefined,
      };
    };
    forward(
      call,
      {
        head,
        requestTimeoutMs: app.requestTimeoutMs,
        idleTimeoutMs: limits.requestIdleMs,
        answer: (headers) => headers,
        next: place,
      },
      {
        clock,
        budget,
        signal: tasks.signal,
        keep: limits.retryBytes,
        onRetry: this.#meter.onRetry,
        onDone: this.#meter.onDone,
      },
    );
  }

  /** The connections to the application, as it is configured now. */
  #origin(): Origin {
    const { clock, requests, limits, local } = this.#deps;
    const { address, port, connectTimeoutMs } = local();
    const http2 = requests()?.protocol !== 'http';
    const key = `${address} ${port} ${http2}`;
    if (this.#app?.key === key) return this.#app.origin;
    this.#app?.origin.close();
    const connect = async (): Promise<OriginConnection> => {
      const options = { address, port, timeoutMs: connectTimeoutMs, clock, keepAlive: false };
      const { socket, connected } = connectTcp(options);
      await connected;
      return { ...socketEnd(socket), http2 };
    };
    const origin = new Origin({ clock, connect, generation: () => key, idleMs: limits.localPooledIdleMs });
    this.#app = { key, origin };
    return origin;
  }

  #answer(call: ServerCall, reply: Parameters<typeof answerLocally>[1]): void {
    this.#meter.onDone(reply.status);
    answerLocally(call, reply);
  }

  #refuse(reason: 'denied' | 'bad_request' | 'local_unreachable', peer: Peer, details: object): void {
    this.#deps.refusals.refuse('inbound', reason, peer.uri, { source: peer.uri, ...details });
  }
}

/** The application is one place: beside the first attempt, only a connection that it had closed is replaced. */
const MAX_ATTEMPTS = 3;
const NO_TOKENS: ReadonlyMap<string, unknown> = new Map();
