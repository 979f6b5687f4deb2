import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/**
 * - open: forwards
 * - black hole: connections stay, also new ones are taken, but no byte and no end gets through; what was sent
 *   meanwhile arrives when it is healed, as TCP's repetitions would
 * - reset: all connections are reset, new ones at once
 */
export type WanState = 'open' | 'black hole' | 'reset';

export interface WanProxyOptions {
  /** Where it listens. Default 127.0.0.1 and a free port. */
  readonly host?: string;
  readonly port?: number;
  /** Sees every piece that is passed on; `connection` numbers the connections, `fromDialler` tells the direction. */
  readonly onBytes?: (chunk: Buffer, from: { readonly connection: number; readonly fromDialler: boolean }) => void;
}

/** A stretch of network that can be cut. */
export interface WanProxy {
  /** Where to connect, as host:port. */
  readonly address: string;
  readonly state: WanState;
  /** Connections that are open now. */
  readonly connections: number;
  /** Bytes passed on so far, both ways. */
  readonly bytes: number;
  blackHole(): void;
  reset(): void;
  heal(): void;
  /** From now on every byte and every end takes this long, each way: a distance. Milliseconds. */
  delay(ms: number): void;
  /** Does so once this many more bytes have passed: in the middle of what is being sent then. */
  cutAfter(bytes: number, how: Exclude<WanState, 'open'>): void;
  /** Resets the connections there are and goes on with new ones. */
  breakConnections(): void;
  /** New connections go here. */
  setTarget(target: string): void;
  close(): Promise<void>;
}

interface Pair {
  readonly number: number;
  readonly inner: Socket;
  outer: Socket | undefined;
  /** Lets what was on its way arrive, each way. */
  readonly healed: (() => void)[];
}

/** Forwards TCP connections to `target` (host:port). */
export async function wanProxy(target: string, options: WanProxyOptions = {}): Promise<WanProxy> {
  let to = target;
  let state: WanState = 'open';
  let bytes = 0;
  let count = 0;
  let delayMs = 0;
  const pairs = new Set<Pair>();

  const cut: { at: number; how: Exclude<WanState, 'open'> } = { at: Number.POSITIVE_INFINITY, how: 'reset' };
  const blackHole = (): void => {
    state = 'black hole';
    for (const { inner, outer } of pairs) {
      inner.pause();
      outer?.pause();
    }
  };
  const reset = (): void => {
    state = 'reset';
    for (const pair of pairs) drop(pair);
  };
  const drop = (pair: Pair): void => {
    pairs.delete(pair);
    pair.inner.resetAndDestroy();
    pair.outer?.resetAndDestroy();
  };
  const forward = (pair: Pair, from: Socket, into: Socket): void => {
    const pass = (chunk: Buffer): void => {
      if (into.destroyed) return;
      bytes += chunk.length;
      options.onBytes?.(chunk, { connection: pair.number, fromDialler: from === pair.inner });
      if (!into.write(chunk)) from.pause();
      if (bytes < cut.at) return;
      cut.at = Number.POSITIVE_INFINITY;
      if (cut.how === 'reset') reset();
      else blackHole();
    };
    const onItsWay: (() => void)[] = [];
    let due = 0;
    const arrive = (): void => {
      for (; state === 'open' && due > 0; due -= 1) onItsWay.shift()?.();
    };
    const later = (act: () => void): void => {
      if (delayMs === 0 && onItsWay.length === 0) {
        act();
        return;
      }
      onItsWay.push(act);
      setTimeout(() => {
        due += 1;
        arrive();
      }, delayMs);
    };
    pair.healed.push(arrive);
    from.on('data', (chunk: Buffer) => later(() => pass(chunk)));
    into.on('drain', () => {
      if (state === 'open') from.resume();
    });
    from.on('end', () => later(() => into.end()));
    from.on('error', () => drop(pair));
    from.on('close', () => {
      if (pair.inner.destroyed && pair.outer?.destroyed !== false) pairs.delete(pair);
    });
  };
  const dial = (pair: Pair): void => {
    const colon = to.lastIndexOf(':');
    const outer = connect({ host: to.slice(0, colon), port: Number(to.slice(colon + 1)), allowHalfOpen: true });
    pair.outer = outer;
    forward(pair, pair.inner, outer);
    forward(pair, outer, pair.inner);
    pair.inner.resume();
  };

  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (inner) => {
    if (state === 'reset') {
      inner.resetAndDestroy();
      return;
    }
    count += 1;
    const pair: Pair = { number: count, inner, outer: undefined, healed: [] };
    pairs.add(pair);
    if (state === 'open') dial(pair);
  });
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address() as AddressInfo;

  return {
    address: `${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
    get state() {
      return state;
    },
    get connections() {
      return pairs.size;
    },
    get bytes() {
      return bytes;
    },
    blackHole,
    reset,
    cutAfter(more, how) {
      cut.at = bytes + more;
      cut.how = how;
    },
    heal() {
      state = 'open';
      for (const pair of pairs) {
        if (pair.outer === undefined) dial(pair);
        else {
          for (const arrive of pair.healed) arrive();
          pair.inner.resume();
          pair.outer.resume();
        }
      }
    },
    delay(ms) {
      delayMs = ms;
    },
    breakConnections() {
      for (const pair of pairs) drop(pair);
    },
    setTarget(next) {
      to = next;
    },
    async close() {
      for (const pair of pairs) drop(pair);
      server.close();
      await once(server, 'close');
    },
  };
}
