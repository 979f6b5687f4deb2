import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Peer } from '../wire/peer.ts';
import type { End } from '../wire/pump.ts';
import { ignoreError, resetTls } from '../wire/sockets.ts';
import {
  HEADER_DETAILS,
  HEADER_REASON,
  reasonOf,
  resetStream,
  SESSION_MEMORY_MB,
  SESSION_WINDOW,
  STATUS,
  streamEnd,
  TUNNEL_PROTOCOL,
  TUNNEL_SETTINGS,
} from '../wire/tunnel.ts';
import { DialError, type Dialled } from './dialer.ts';

export interface TunnelLimits {
  readonly streamsPerTunnel: number;
  readonly pingIntervalMs: number;
  readonly pingTimeoutMs: number;
  readonly tunnelIdleMs: number;
}

export interface TunnelDeps {
  readonly clock: Clock;
  readonly limits: TunnelLimits;
  /** Called when the other side takes no new streams any more. */
  readonly onRefused: () => void;
  /** Called once when it is gone. */
  readonly onClosed: (tunnel: Tunnel) => void;
}

/** The stream ended without an answer, so nothing of the application was sent: try once more in another tunnel. */
export class StreamUntouched extends IsthmusError {
  constructor() {
    super('unavailable', 'the tunnel closed before there was an answer');
  }
}

/**
 * Resets that one tunnel sends before it is retired. The HTTP/2 server of Node answers 1,000 resets at once (and 33/s
 * for long) with the end of the session.
 */
const MAX_RESETS = 400;

/**
 * The dialling end of one tunnel. ready: takes streams · retired: its streams go on, it closes with the last one ·
 * closed.
 */
export class Tunnel {
  readonly peer: Peer;
  /** The own leaf that the tunnel was made with. */
  readonly leafPem: string;
  readonly leafNotAfter: number;
  readonly #session: ClientHttp2Session;
  readonly #dialled: Dialled;
  readonly #deps: TunnelDeps;
  /** Ends the wait of a stream that has no answer yet. */
  readonly #unanswered = new Set<() => void>();
  #streams = 0;
  #resets = 0;
  #retired = false;
  #idleSince: number;
  #timer: Timer;
  #gone = false;

  constructor(dialled: Dialled, own: { leafPem: string; leafNotAfter: number }, deps: TunnelDeps) {
    this.peer = dialled.peer;
    this.leafPem = own.leafPem;
    this.leafNotAfter = own.leafNotAfter;
    this.#dialled = dialled;
    this.#deps = deps;
    this.#idleSince = deps.clock.steady();
    this.#session = connect(`https://${TUNNEL_PROTOCOL}`, {
      createConnection: () => dialled.tls,
      settings: TUNNEL_SETTINGS,
      maxSessionMemory: SESSION_MEMORY_MB,
      peerMaxConcurrentStreams: deps.limits.streamsPerTunnel,
    });
    this.#session.once('connect', () => this.#session.setLocalWindowSize(SESSION_WINDOW));
    this.#session.on('error', ignoreError); // `close` follows
    this.#session.once('goaway', () => {
      this.retire();
      deps.onRefused();
    });
    this.#session.once('close', () => this.#closed());
    dialled.tls.once('end', () => this.#ended());
    this.#timer = this.#nextPing();
  }

  get streams(): number {
    return this.#streams;
  }

  /** Takes another stream. */
  get open(): boolean {
    return !this.#retired && this.#streams < this.#deps.limits.streamsPerTunnel;
  }

  get retired(): boolean {
    return this.#retired;
  }

  /** Both certificates that it was made with are still valid. */
  get valid(): boolean {
    const now = this.#deps.clock.now();
    return now < this.leafNotAfter && now <= this.peer.notAfter + 999;
  }

  /** Takes no new streams; closes with the last one that is open. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    if (!this.#session.closed) this.#session.close();
  }

  /** Ends it with all its streams. */
  abort(): void {
    this.retire();
    resetTls(this.#dialled.tls, this.#dialled.raw);
  }

  /** A connection to the service's application. Rejects with {@link DialError} or {@link StreamUntouched}. */
  connect(service: string, timeoutMs: number): Promise<End> {
    return new Promise((resolve, reject) => {
      let stream: ClientHttp2Stream;
      try {
        stream = this.#session.request({ ':method': 'CONNECT', ':authority': service }, { endStream: false });
      } catch {
        reject(new StreamUntouched()); // the session began to close; its event is on the way
        return;
      }
      this.#streams += 1;
      let settled = false;
      const settle = (): void => {
        settled = true;
        timer.cancel();
        this.#unanswered.delete(giveUp);
      };
      const giveUp = (): void => {
        settle();
        this.#reset(stream);
        reject(new StreamUntouched());
      };
      this.#unanswered.add(giveUp);
      const timer = this.#deps.clock.after(timeoutMs, () => {
        settle();
        this.#reset(stream);
        this.retire(); // the way may be a black hole: the next attempt makes a new tunnel, and finds out
        reject(new DialError('unreachable', 'no answer over the tunnel within the time-out', { retry: true }));
      });
      stream.on('error', ignoreError); // `close` follows
      stream.once('response', (headers) => {
        if (settled) return;
        settle();
        const status = headers[':status'] ?? 0;
        if (status === STATUS.connected) {
          resolve(streamEnd(stream, () => this.#reset(stream)));
          return;
        }
        stream.resume();
        stream.end(); // ended, not reset: see MAX_RESETS
        reject(refusal(status, headers[HEADER_REASON], headers[HEADER_DETAILS]));
      });
      stream.once('close', () => {
        this.#streams -= 1;
        if (this.#streams === 0) this.#idleSince = this.#deps.clock.steady();
        if (settled) return;
        settle();
        reject(new StreamUntouched());
      });
    });
  }

  /**
   * Nothing more comes. The socket may be half open, so that HTTP/2 does not take this for its end, but of a process
   * that died it is all there is: who still waits for an answer goes elsewhere. What was answered may still be read.
   */
  #ended(): void {
    this.retire();
    for (const giveUp of [...this.#unanswered]) giveUp();
  }

  #reset(stream: ClientHttp2Stream): void {
    if (stream.closed || stream.destroyed) return;
    resetStream(stream);
    this.#resets += 1;
    if (this.#resets >= MAX_RESETS) this.retire();
  }

  #nextPing(): Timer {
    return this.#deps.clock.after(this.#deps.limits.pingIntervalMs, () => this.#check());
  }

  #check(): void {
    const { clock, limits } = this.#deps;
    if (this.#session.destroyed) {
      this.abort(); // it waits for the other side to end, which may be gone without a word
      return;
    }
    if (this.#streams === 0 && clock.steady() - this.#idleSince >= limits.tunnelIdleMs) this.retire();
    this.#timer = clock.after(limits.pingTimeoutMs, () => this.abort());
    if (this.#session.destroyed) return;
    this.#session.ping(() => {
      this.#timer.cancel();
      if (!this.#gone) this.#timer = this.#nextPing();
    });
  }

  #closed(): void {
    this.#gone = true;
    this.#timer.cancel();
    this.#dialled.tls.destroy();
    this.#retired = true;
    this.#deps.onClosed(this);
  }
}

function refusal(status: number, reason: unknown, details: unknown): DialError {
  const kind = reasonOf(status);
  const text = typeof reason === 'string' ? reason : `status ${status}`;
  // Only what fails at this instance is worth another one: the same intention holds at all of them.
  const retry = kind !== 'denied' && kind !== 'bad_request';
  return new DialError(kind, `the other side refused: ${text}`, { retry, details: readDetails(details) });
}

function readDetails(text: unknown): Readonly<Record<string, unknown>> {
  if (typeof text !== 'string') return {};
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}
