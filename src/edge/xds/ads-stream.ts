import type { ProxyFeed, ProxyFeeds } from '../../agent/proxycfg/proxy-configs.ts';
import type { ProxySnapshot } from '../../agent/proxycfg/snapshot.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { abortReason, linkSignals } from '../../lib/signals.ts';
import { SEPARATES_CALLERS } from '../../model/envoy.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { CallHandler, GrpcCall } from './grpc-call.ts';
import type { XdsLimits } from './limits.ts';
import type { XdsMeters } from './meters.ts';
import type { Answer, XdsNode, XdsProtocol } from './protocol.ts';
import type { ResourceSet } from './resource.ts';
import { ResourceMaker } from './resources/all.ts';
import { ROOTS } from './resources/names.ts';
import { StreamStatus } from './status.ts';

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
const OPENED_AFTER_MS = [50, 200, 1_000, 3_000, 6_000, 12_000];
/** Versions of the roots that are remembered until they are confirmed. */
const MAX_ROOTS = 16;

/** One Envoy's stream: what it asks for comes in, what it needs goes out when there is room. */
export class AdsStream implements CallHandler {
  readonly #call: GrpcCall;
  readonly #protocol: XdsProtocol;
  readonly #deps: AdsStreamDeps;
  readonly #life: ReturnType<typeof linkSignals>;
  readonly #maker = new ResourceMaker();
  /** IDs of the roots by the version of the secret that has them. */
  readonly #roots = new Map<string, readonly string[]>();
  #first: ((node: XdsNode | undefined) => void) | undefined;
  #feed: ProxyFeed | undefined;
  #status: StreamStatus | undefined;
  /** It was written more than the Envoy reads: nothing more is made for it meanwhile. */
  #full = false;
  #windowFrom = 0;
  #messages = 0;
  #bytes = 0;
  /** Its listeners were confirmed. */
  #opened = false;
  #opening: Timer | undefined;
  /** Version of the roots that was confirmed last. */
  #confirmed: string | undefined;

  constructor(call: GrpcCall, protocol: XdsProtocol, deps: AdsStreamDeps, signal: AbortSignal) {
    this.#call = call;
    this.#protocol = protocol;
    this.#deps = deps;
    this.#life = linkSignals(signal);
  }

  /** Resolves when the stream has ended. @param name of the protocol. */
  async run(name: string): Promise<void> {
    const { signal } = this.#life;
    const { log, clock } = this.#deps;
    const { peer } = this.#call;
    let leave: (() => void) | undefined;
    try {
      const node = await this.#firstMessage();
      const proxyId = node?.id ?? '';
      if (proxyId === '')
        throw new IsthmusError('invalid_argument', 'node.id of the first message must be the ID of the proxy');
      const token = tokenOf(this.#call);
      const feed = await this.#deps.feeds.open(
        {
          kind: 'registered',
          proxyId,
          exposes: true,
          ...(token === undefined ? {} : { token }),
          ...(node?.metadata?.[SEPARATES_CALLERS] === true ? { separatesCallers: true } : {}),
        },
        signal,
      );
      const status = new StreamStatus(clock, { proxyId, address: peer, protocol: name });
      leave = this.#deps.enter(status);
      this.#status = status;
      this.#feed = feed;
      this.#call.resume();
      log.info('Envoy connected', { proxy: proxyId, protocol: name, peer });
      await this.#follow(feed);
    } catch (thrown) {
      this.#end(signal.aborted ? abortReason(signal) : thrown);
    } finally {
      leave?.();
      this.#opening?.cancel();
      this.#life.abort(new IsthmusError('cancelled', 'the stream ended'));
      this.#life.release();
    }
  }

  onMessage(message: Uint8Array): void {
    this.#count(message.length);
    const { node, answer } = this.#protocol.receive(message);
    if (this.#first !== undefined) this.#first(node);
    if (answer !== undefined) this.#onAnswer(answer);
    this.#confirmRoots();
    this.#send();
  }

  onBroken(error: IsthmusError): void {
    this.#life.abort(error);
  }

  onGone(): void {
    this.#life.abort(new IsthmusError('cancelled', 'the Envoy went away'));
  }

  /** Resolves with the `node` of the message. Nothing more is taken then, before it is known whether it is served. */
  #firstMessage(): Promise<XdsNode | undefined> {
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
      this.#first = (node) => {
        timer.cancel();
        signal.removeEventListener('abort', onAbort);
        this.#first = undefined;
        this.#call.pause();
        resolve(node);
      };
      if (signal.aborted) onAbort();
      else this.#call.open(this);
    });
  }

  #count(bytes: number): void {
    const { clock, limits } = this.#deps;
    const now = clock.steady();
    if (now - this.#windowFrom >= TEN_SECONDS) {
      this.#windowFrom = now;
      this.#messages = 0;
      this.#bytes = 0;
    }
    this.#messages += 1;
    this.#bytes += bytes;
    const { messagesPerTenSeconds, bytesPerTenSeconds } = limits;
    if (this.#messages > messagesPerTenSeconds)
      throw new IsthmusError('rate_limited', `more than ${messagesPerTenSeconds} messages came within ten seconds`);
    if (this.#bytes > bytesPerTenSeconds)
      throw new IsthmusError('rate_limited', `more than ${bytesPerTenSeconds} bytes came within ten seconds`);
  }

  #onAnswer({ type, resources, error }: Answer): void {
    const { meters, log } = this.#deps;
    const status = this.#status;
    if (error === undefined) {
      status?.accepted(type, resources);
      if (type === 'listener' && !this.#opened) this.#watchOpening(0);
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
  #watchOpening(step: number): void {
    this.#opened = true;
    const [before = 0, at] = step === 0 ? [0, OPENED_AFTER_MS[0]] : OPENED_AFTER_MS.slice(step - 1, step + 1);
    this.#opening = undefined;
    if (at === undefined) return;
    this.#opening = this.#deps.clock.after(at - before, () => {
      this.#feed?.serves();
      this.#watchOpening(step + 1);
    });
  }

  /** Says with which roots it verifies, once it is known to have taken them over. */
  #confirmRoots(): void {
    const version = this.#protocol.takenOver('secret', ROOTS);
    if (version === undefined || version === this.#confirmed) return;
    const ids = this.#roots.get(version);
    if (ids === undefined) return;
    this.#confirmed = version;
    this.#feed?.holds(ids);
  }

  async #follow(feed: ProxyFeed): Promise<void> {
    for await (const snapshot of feed.snapshots) {
      if (this.#status !== undefined) this.#status.service = snapshot.service;
      const set = this.#maker.make(snapshot);
      for (const { option, why } of this.#status?.without(this.#maker.problems) ?? [])
        this.#deps.log.warn('an option of a proxy is not carried out', { proxy: feed.proxyId, option, error: why });
      this.#remember(set, snapshot);
      this.#protocol.update(set);
      this.#confirmRoots();
      this.#send();
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

  /** Sends what there is to send, as long as there is room: nothing more is made for an Envoy that does not read. */
  #send(): void {
    if (this.#status === undefined) return;
    while (!this.#full && !this.#life.signal.aborted) {
      const response = this.#protocol.next();
      if (response === undefined) return;
      const { type, count, version, frame } = response;
      this.#status.sent(type, count, version);
      this.#deps.meters.sent(type, count);
      if (this.#call.send(frame)) continue;
      this.#full = true;
      this.#call.onceDrained(() => {
        this.#full = false;
        this.#send();
      });
    }
  }

  #end(thrown: unknown): void {
    const error = IsthmusError.from(thrown);
    const { log, meters } = this.#deps;
    const proxy = this.#status?.proxyId;
    const { peer } = this.#call;
    if (error.code === 'cancelled') log.debug('Envoy disconnected', { proxy, peer });
    else {
      log.warn('the stream of an Envoy was ended', { proxy, peer, error: error.message });
      meters.refused(error.code);
    }
    this.#call.end(error);
  }
}

/** As Consul takes it. */
function tokenOf(call: GrpcCall): string | undefined {
  const token = call.header('x-consul-token');
  if (token !== undefined) return token;
  return /^Bearer (\S+)$/i.exec(call.header('authorization') ?? '')?.[1];
}
