import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Clock } from '../../lib/clock.ts';
import type { ReadyCall } from './calls.ts';
import type { CompiledResponse } from './compiled.ts';
import type { HttpLimits } from './limits.ts';
import { parseSimpleGet } from './simple-get.ts';
import { requestToken } from './token.ts';

export interface DirectDeps {
  readonly limits: HttpLimits;
  readonly clock: Clock;
  /** The call that a URL stands for; undefined leaves the request to the long way. */
  find(url: string, rawHeaders: readonly string[]): ReadyCall | undefined;
  /** Runs it; never rejects. `waiting` is given when the call may wait. */
  run(ready: ReadyCall, token: string | undefined, waiting: Waiting | undefined): Promise<CompiledResponse>;
  /** Gives a connection to Node's HTTP server for good, with what was read from it. */
  handOver(socket: Socket, chunk: Buffer): void;
  /** The first request of a connection came. */
  onRequest(socket: Socket): void;
  /** Called with what broke while a request was answered. */
  onDefect(error: unknown): void;
}

/** A request that came before, taken apart. */
interface KnownRequest {
  readonly ready: ReadyCall;
  readonly token: string | undefined;
}

/** A call that may wait: who asks, and what ends it. */
export interface Waiting {
  readonly client: string | undefined;
  readonly controller: AbortController;
}

/**
 * Answers simple GETs straight from the socket. Building Node's request and response objects costs more than all of
 * ours: CPU a request was 17–26 µs here where bare node:http took 46 µs with answers of 1 KB, 38 µs where it took 60 µs
 * with 45 KB; and a blocked query holds a socket and little else. A connection that sends anything but simple GETs is
 * handed over for good.
 */
export class DirectConnections {
  readonly #deps: DirectDeps;
  readonly #open = new Set<DirectConnection>();
  /** Whole requests that came before, by their bytes: clients send the same ones again and again. */
  readonly #known = new Map<string, KnownRequest>();
  #stopping = false;

  constructor(deps: DirectDeps) {
    this.#deps = deps;
  }

  accept(socket: Socket): void {
    if (this.#stopping) socket.destroy();
    else this.#open.add(new DirectConnection(socket, this.#deps, this.#known, this.#open));
  }

  /** Closes connections without a request under way; the others close with their answer. */
  stop(): void {
    this.#stopping = true;
    for (const connection of this.#open) connection.closeWhenIdle();
  }

  closeAll(): void {
    for (const connection of this.#open) connection.destroy();
  }
}

const MAX_KNOWN = 4_096;

class DirectConnection {
  readonly #socket: Socket;
  readonly #deps: DirectDeps;
  readonly #known: Map<string, KnownRequest>;
  readonly #open: Set<DirectConnection>;
  #busy = false;
  #closing = false;
  #served = false;
  #controller: AbortController | undefined;
  /** What came while a request was under way. */
  #queued: Buffer | undefined;

  constructor(socket: Socket, deps: DirectDeps, known: Map<string, KnownRequest>, open: Set<DirectConnection>) {
    this.#socket = socket;
    this.#deps = deps;
    this.#known = known;
    this.#open = open;
    socket.setTimeout(deps.limits.headersMs);
    socket.on('data', this.#onData);
    socket.on('end', this.#onGone);
    socket.on('error', this.#onGone);
    socket.on('close', this.#onGone);
    socket.on('timeout', this.#onTimeout);
  }

  closeWhenIdle(): void {
    this.#closing = true;
    if (!this.#busy) this.#socket.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#busy) {
      this.#queued = this.#queued === undefined ? chunk : Buffer.concat([this.#queued, chunk]);
      this.#socket.pause();
      return;
    }
    const text = chunk.toString('latin1');
    const known = this.#known.get(text);
    if (known === undefined) this.#first(text, chunk);
    else this.#begin(known.ready, known.token);
  };

  #first(text: string, chunk: Buffer): void {
    const simple = parseSimpleGet(text);
    const ready = simple === undefined ? undefined : this.#deps.find(simple.url, simple.rawHeaders);
    if (simple === undefined || ready === undefined) {
      this.#handOver(chunk);
      return;
    }
    const token = requestToken(simple.rawHeaders, ready.query);
    // Not what changes every time. Whether the token is still good is asked for every request.
    if (!ready.query.has('index')) {
      if (this.#known.size >= MAX_KNOWN) this.#known.delete(this.#known.keys().next().value as string);
      this.#known.set(text, { ready, token });
    }
    this.#begin(ready, token);
  }

  /** A defect costs the connection, not the process. */
  #begin(ready: ReadyCall, token: string | undefined): void {
    this.#serve(ready, token).catch((error: unknown) => {
      this.#deps.onDefect(error);
      this.#socket.destroy();
    });
  }

  async #serve(ready: ReadyCall, token: string | undefined): Promise<void> {
    this.#busy = true;
    if (!this.#served) {
      this.#served = true;
      this.#deps.onRequest(this.#socket);
      this.#socket.setTimeout(this.#deps.limits.keepAliveMs);
    }
    const socket = this.#socket;
    let waiting: Waiting | undefined;
    if (ready.call.waits) {
      this.#controller = new AbortController();
      waiting = { client: socket.remoteAddress, controller: this.#controller };
    }
    const compiled = await this.#deps.run(ready, token, waiting);
    this.#controller = undefined;
    if (socket.destroyed) return;
    this.#write(compiled);
    // Nearly always the kernel has taken all of it by now.
    if (socket.writableLength > 0) this.#waitUntilRead();
    else this.#next();
  }

  #write(compiled: CompiledResponse): void {
    const { body = NOTHING } = compiled;
    const socket = this.#socket;
    const date = httpDate(this.#deps.clock.now());
    if (body.length <= MAX_JOINED && !this.#closing) {
      socket.write(joined(compiled, body, date)); // one write of one buffer costs half of two
      return;
    }
    socket.cork();
    socket.write(`${headOf(compiled)}Date: ${date}\r\n${this.#closing ? CLOSE : END}`, 'latin1');
    if (body.length > 0) socket.write(body);
    socket.uncork();
  }

  #waitUntilRead(): void {
    const { clock, limits } = this.#deps;
    const timer = clock.after(limits.writeMs, () => this.#socket.destroy());
    // The callback of a write comes after all writes before it, or when the socket is destroyed.
    this.#socket.write(NOTHING, () => {
      timer.cancel();
      if (!this.#socket.destroyed) this.#next();
    });
  }

  #next(): void {
    this.#busy = false;
    if (this.#closing) {
      this.#socket.end(() => this.#socket.destroy());
      return;
    }
    const queued = this.#queued;
    if (queued === undefined) return;
    this.#queued = undefined;
    this.#socket.resume();
    this.#onData(queued);
  }

  #handOver(chunk: Buffer): void {
    const socket = this.#socket;
    this.#open.delete(this);
    socket.off('data', this.#onData);
    socket.off('end', this.#onGone);
    socket.off('error', this.#onGone);
    socket.off('close', this.#onGone);
    socket.off('timeout', this.#onTimeout);
    socket.setTimeout(0);
    this.#deps.handOver(socket, chunk);
  }

  /** The client closed its side, or the connection broke: the answer is not waited for any more. */
  readonly #onGone = (): void => {
    this.#open.delete(this);
    this.#controller?.abort();
    this.#socket.destroy();
  };

  readonly #onTimeout = (): void => {
    if (!this.#busy) this.#socket.destroy();
  };
}

const NOTHING = Buffer.alloc(0);
const END = '\r\n';
const CLOSE = 'Connection: close\r\n\r\n';

/** Answers up to this length are kept as one buffer with their head. */
const MAX_JOINED = 65_536;

interface Joined {
  readonly date: string;
  readonly bytes: Buffer;
}

const joins = new WeakMap<CompiledResponse, Joined>();

/** The whole answer in one buffer, made once a second at most. */
function joined(compiled: CompiledResponse, body: Buffer, date: string): Buffer {
  let join = joins.get(compiled);
  if (join?.date !== date) {
    const head = Buffer.from(`${headOf(compiled)}Date: ${date}\r\n${END}`, 'latin1');
    join = { date, bytes: Buffer.concat([head, body]) };
    joins.set(compiled, join);
  }
  return join.bytes;
}

const heads = new WeakMap<CompiledResponse, string>();

/** Status line and headers, without the empty line. Values come from this program and its configuration only. */
function headOf(compiled: CompiledResponse): string {
  let head = heads.get(compiled);
  if (head === undefined) {
    head = `HTTP/1.1 ${compiled.status} ${STATUS_CODES[compiled.status] ?? ''}\r\n`;
    for (let at = 0; at < compiled.headers.length; at += 2)
      head += `${compiled.headers[at]}: ${compiled.headers[at + 1]}\r\n`;
    heads.set(compiled, head);
  }
  return head;
}

let dateSecond = -1;
let dateText = '';

/** The time in HTTP's form; made once a second. */
function httpDate(now: number): string {
  const second = Math.floor(now / 1_000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(now).toUTCString();
  }
  return dateText;
}
