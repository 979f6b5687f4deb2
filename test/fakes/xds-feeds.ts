import type { ProxyFeeds } from '../../src/agent/proxycfg/proxy-configs.ts';
import type { ProxyRequest } from '../../src/agent/proxycfg/request.ts';
import type { ProxySnapshot } from '../../src/agent/proxycfg/snapshot.ts';
import type { IsthmusError } from '../../src/lib/errors.ts';
import { AsyncQueue } from '../../src/lib/queue.ts';
import { proxySnapshot } from './proxy-snapshot.ts';

/** The proxy that all feeds are of. */
export const PROXY = 'web-1-sidecar-proxy';

/** Feeds that a test fills. */
export class FakeFeeds implements ProxyFeeds {
  readonly opened: ProxyRequest[] = [];
  readonly holds: (readonly string[])[] = [];
  readonly #queues = new Set<AsyncQueue<ProxySnapshot>>();
  current: ProxySnapshot = proxySnapshot();
  refusal: IsthmusError | undefined;

  async open(request: ProxyRequest, signal: AbortSignal) {
    if (this.refusal !== undefined) throw this.refusal;
    this.opened.push(request);
    const snapshots = new AsyncQueue<ProxySnapshot>();
    this.#queues.add(snapshots);
    snapshots.push(this.current);
    snapshots.endOn(signal);
    signal.addEventListener('abort', () => this.#queues.delete(snapshots), { once: true });
    return {
      proxyId: PROXY,
      snapshots,
      serves: () => undefined,
      holds: (ids: readonly string[]) => this.holds.push(ids),
    };
  }

  push(snapshot: ProxySnapshot): void {
    this.current = snapshot;
    for (const queue of this.#queues) queue.push(snapshot);
  }

  get followed(): number {
    return this.#queues.size;
  }
}
