import type { JsonObject } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { ProxyFeed, ProxyFeeds } from '../../agent/proxycfg/proxy-configs.ts';
import type { ProxySnapshot } from '../../agent/proxycfg/snapshot.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { abortReason, linkSignals } from '../../lib/signals.ts';
import { SEPARATES_CALLERS } from '../../model/envoy.ts';
import type { Logger } from '../../telemetry/types.ts';
import { grpcStatus } from './grpc-status.ts';
import type { XdsLimits } from './limits.ts';
import type { XdsMeters } from './meters.ts';
import type { Answer, XdsProtocol } from './protocol.ts';
import type { ResourceSet } from './resource.ts';
import { ResourceMaker } from './resources/all.ts';
import { ROOTS } from './resources/names.ts';
import { StreamStatus } from './status.ts';
import { xdsTypeOf } from './types.ts';

/** What both protocols have in their messages. */
export interface XdsRequest {
  readonly typeUrl: string;
  readonly node?: { readonly id: string; readonly metadata?: JsonObject | undefined } | undefined;
}

export interface XdsResponse {
  readonly typeUrl: string;
  readonly resources: readonly unknown[];
}

export interface AdsStreamDeps {
  readonly feeds: ProxyFeeds;
  readonly limits: XdsLimits;
  readonly clock: Clock;
  readonly log: Logger;
  readonly meters: XdsMeters;
  /** Takes the stream in once it is known whose it is; throws when there are too many. Returns what takes it out. */
  readonly enter: (status: StreamStatus) => () => void;
}

const TEN_SECONDS = 10_000;
/** When it may be that the listeners are open, after they were confirmed, milliseconds. */
const OPENED_AFTER_MS = [50, 200, 1_000, 3_000];
/** Versions of the roots that are remembered until they are confirmed. */
const MAX_ROOTS = 16;

/** One Envoy's stream: what it asks for comes in, what it needs goes out when there is room. */
export class AdsStream<Request extends XdsRequest, Response extends XdsResponse> {
  readonly #call: ServerDuplexStream<Request, Response>;
  readonly #protocol: XdsProtocol<Request, Response>;
  readonly #deps: AdsStreamDeps;
  readonly #life: ReturnType<typeof linkSignals>;
  readonly #maker = new ResourceMaker();
  /** IDs of the roots by the version of the secret that has them. */
  readonly #roots = new Map<string, readonly string[]>();
  #first: ((request: Request) => void) | undefined;
  #feed: ProxyFeed | undefined;
  #status: StreamStatus | undefined;
  #wake: (() => void) | undefined;
  #window = { from: 0, count: 0 };
  #opening: readonly Timer[] = [];
  /** Version of the roots that was confirmed last. */
  #confirmed: string | undefined;

  constructor(
    call: ServerDuplexStream<Request, Response>,
    protocol: XdsProtocol<Request, Response>,
    deps: AdsStreamDeps,
    signal: AbortSignal,
  ) {
    this.#call = call;
    this.#protocol = protocol;
    this.#deps = deps;
    this.#life = linkSignals(signal);
    const gone = (): void => this.#life.abort(new IsthmusError('cancelled', 'the Envoy went away'));
    call.on('cancelled', gone);
    call.on('close', gone);
    call.on('end', gone);
    call.on('error', gone);
    call.on('data', (request: Request) => this.#onMessage(request));
  }

  /** Resolves when the stream has ended. @param name of the protocol. */
  async run(name: string): Promise<void> {
    const { signal } = this.#life;
    const { log, clock } = this.#deps;
    let leave: (() => void) | undefined;
    try {
      const first = await this.#firstMessage();
      const proxyId = first.node?.id ?? '';
      if (proxyId === '')
        throw new IsthmusError('invalid_argument', 'node.id of the first message must be the ID of the proxy');
      const token = tokenOf(this.#call.metadata.getMap());
      const feed = await this.#deps.feeds.open(
        {
          kind: 'registered',
          proxyId,
          ...(token === undefined ? {} : { token }),
          ...(first.node?.metadata?.[SEPARATES_CALLERS] === true ? { separatesCallers: true } : {}),
        },
        signal,
      );
      const status = new StreamStatus(clock, { proxyId, address: this.#call.getPeer(), protocol: name });
      leave = this.#deps.enter(status);
      this.#status = status;
      this.#feed = feed;
      this.#receive(first);
      this.#call.resume();
      log.info('Envoy connected', { proxy: proxyId, protocol: name, peer: this.#call.getPeer() });
      await Promise.all([this.#follow(feed), this.#send()]);
    } catch (thrown) {
      this.#end(thrown);
    } finally {
      leave?.();
      for (const timer of this.#opening) timer.cancel();
      this.#life.abort(new IsthmusError('cancelled', 'the stream ended'));
      this.#life.release();
    }
  }

  #firstMessage(): Promise<Request> {
    const { clock, limits } = this.#deps;
    const { signal } = this.#life;
    return new Promise((resolve, reject) => {
      const timer = clock.after(limits.firstMessageMs, () =>
        reject(new IsthmusError('deadline', `no message came within ${limits.firstMessageMs} ms`)),
      );
      const onAbort = (): void => {
        timer.cancel();
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#first = (request) => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        this.#first = undefined;
        this.#call.pause(); // nothing more is taken before it is known whether it is served
        resolve(request);
      };
      if (signal.aborted) onAbort();
    });
  }

  #onMessage(request: Request): void {
    try {
      this.#count();
      if (this.#first !== undefined) this.#first(request);
      else this.#receive(request);
    } catch (thrown) {
      this.#life.abort(IsthmusError.from(thrown));
    }
  }

  #count(): void {
    const { clock, limits } = this.#deps;
    const now = clock.now();
    if (now - this.#window.from >= TEN_SECONDS) this.#window = { from: now, count: 0 };
    this.#window.count += 1;
    if (this.#window.count > limits.messagesPerTenSeconds)
      throw new IsthmusError(
        'rate_limited',
        `more than ${limits.messagesPerTenSeconds} messages came within ten seconds`,
      );
  }

  #receive(request: Request): void {
    const answer = this.#protocol.receive(request);
    if (answer !== undefined) this.#onAnswer(answer);
    this.#confirmRoots();
    this.#wake?.();
  }

  #onAnswer({ type, resources, error }: Answer): void {
    const { meters, log } = this.#deps;
    const status = this.#status;
    if (error === undefined) {
      status?.accepted(type, resources);
      if (type === 'listener' && this.#opening.length === 0) this.#opening = this.#watchOpening();
      return;
    }
    meters.rejected(type);
    for (const { Type, Resource: name, Version, Error: reason } of status?.rejected(type, resources, error) ?? [])
      log.warn('an Envoy rejected a resource and goes on with the one before', {
        proxy: status?.proxyId,
        type: Type,
        resource: name,
        version: Version,
        error: reason,
      });
  }

  /** Envoy confirms listeners before it has opened them, and says nothing when it has. */
  #watchOpening(): readonly Timer[] {
    return OPENED_AFTER_MS.map((ms) => this.#deps.clock.after(ms, () => this.#feed?.serves()));
  }

  /** Says with which roots it verifies, once it is known to have taken them over. */
  #confirmRoots(): void {
    const version = this.#protocol.takenOver('secret', ROOTS);
    const ids = version === undefined ? undefined : this.#roots.get(version);
    if (ids === undefined || version === this.#confirmed) return;
    this.#confirmed = version;
    this.#feed?.holds(ids);
  }

  async #follow(feed: ProxyFeed): Promise<void> {
    for await (const snapshot of feed.snapshots) {
      if (this.#status !== undefined) this.#status.service = snapshot.service;
      const set = this.#maker.make(snapshot);
      this.#remember(set, snapshot);
      this.#protocol.update(set);
      this.#confirmRoots();
      this.#wake?.();
    }
    throw new IsthmusError('unavailable', 'the proxy is not followed any longer');
  }

  #remember(set: ResourceSet, { roots }: ProxySnapshot): void {
    const version = set.secret.get(ROOTS)?.version ?? '';
    if (this.#roots.has(version)) return;
    this.#roots.set(
      version,
      roots.Roots.map(({ ID }) => ID),
    );
    if (this.#roots.size > MAX_ROOTS) this.#roots.delete(this.#roots.keys().next().value as string);
  }

  async #send(): Promise<void> {
    const { signal } = this.#life;
    signal.addEventListener('abort', () => this.#wake?.(), { once: true });
    for (;;) {
      if (signal.aborted) throw abortReason(signal);
      const response = this.#protocol.next();
      if (response === undefined) {
        await this.#woken();
        continue;
      }
      const type = xdsTypeOf(response.typeUrl);
      if (type !== undefined) {
        this.#status?.sent(type, response.resources.length);
        this.#deps.meters.sent(type, response.resources.length);
      }
      if (!this.#call.write(response)) await this.#drained();
    }
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        resolve();
      };
    });
  }

  /** Nothing more is made for an Envoy that does not read. */
  #drained(): Promise<void> {
    const { signal } = this.#life;
    return new Promise((resolve) => {
      const done = (): void => {
        this.#call.off('drain', done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#call.once('drain', done);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }

  #end(thrown: unknown): void {
    const error = IsthmusError.from(thrown);
    const { log, meters } = this.#deps;
    const proxy = this.#status?.proxyId;
    const peer = this.#call.getPeer();
    if (error.code === 'cancelled') log.debug('Envoy disconnected', { proxy, peer });
    else {
      log.warn('the stream of an Envoy was ended', { proxy, peer, error: error.message });
      meters.refused(error.code);
    }
    if (this.#call.cancelled) return;
    this.#call.emit('error', grpcStatus(error));
  }
}

/** As Consul takes it. */
function tokenOf(metadata: Readonly<Record<string, unknown>>): string | undefined {
  const token = metadata['x-consul-token'];
  if (typeof token === 'string' && token !== '') return token;
  const { authorization } = metadata;
  const match = typeof authorization === 'string' ? /^Bearer (\S+)$/i.exec(authorization) : null;
  return match?.[1];
}
