import { IsthmusError } from '../../lib/errors.ts';
import { abortReason, type LinkedSignal } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { LeafCert } from '../../model/ca.ts';
import type { LeafManager } from '../cache/leaf-manager.ts';
import type { RootsSource } from '../cache/roots-cache.ts';
import type { FollowedKind, KindContext, ProxyKind } from './kinds/kind.ts';
import type { ProxySnapshot } from './snapshot.ts';

export interface FollowedProxyDeps {
  readonly kind: ProxyKind;
  readonly context: Omit<KindContext, 'changed'>;
  readonly roots: RootsSource;
  readonly leaves: Pick<LeafManager, 'watch'>;
  readonly tasks: TaskGroup;
  readonly onLocalChange: (listener: () => void) => () => void;
}

/** Follows all that one proxy must know, for one consumer. */
export class FollowedProxy {
  readonly service: string;
  readonly #deps: FollowedProxyDeps;
  readonly #life: LinkedSignal;
  readonly #undo: (() => void)[] = [];
  readonly #kind: FollowedKind;
  #leaf: LeafCert | undefined;
  #dirty = true;
  #failure: IsthmusError | undefined;
  #wake: (() => void) | undefined;

  /** @param life ends it when it aborts; it is aborted when it ends by itself. */
  constructor(deps: FollowedProxyDeps, life: LinkedSignal) {
    const { kind, context, roots } = deps;
    this.#deps = deps;
    this.#life = life;
    this.service = kind.serviceOf(context.registration());
    this.#kind = kind.follow({ ...context, changed: () => this.#changed() });
    life.signal.addEventListener('abort', () => this.#close(), { once: true });
    this.#undo.push(
      deps.onLocalChange(() => this.#reconfigure()),
      roots.held.subscribe(() => this.#changed()),
    );
    this.#followLeaf();
  }

  /**
   * A snapshot once everything is known, then the newest one after each change: a slow reader skips those between. To
   * be read once. Ends with an error when the proxy can't be followed any longer.
   */
  async *snapshots(): AsyncGenerator<ProxySnapshot, void, void> {
    try {
      for (;;) {
        const snapshot = this.#failure === undefined ? this.#next() : undefined;
        if (snapshot !== undefined) {
          yield snapshot;
          continue;
        }
        if (this.#failure !== undefined) throw this.#failure;
        if (this.#life.signal.aborted) throw abortReason(this.#life.signal);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      this.#life.abort(new IsthmusError('cancelled', 'the sidecar stopped following'));
    }
  }

  #next(): ProxySnapshot | undefined {
    if (!this.#dirty || this.#life.signal.aborted) return undefined;
    const { proxyId, datacenter, node } = this.#deps.context;
    const roots = this.#deps.roots.held.current?.value;
    const part = this.#kind.part();
    if (roots === undefined || this.#leaf === undefined || part === undefined) return undefined;
    this.#dirty = false;
    return { proxyId, service: this.service, datacenter, node, roots, leaf: this.#leaf, ...part };
  }

  #followLeaf(): void {
    const { leaves, tasks, context } = this.#deps;
    const { signal } = this.#life;
    tasks.run(`leaf of ${this.service}`, async () => {
      try {
        for await (const leaf of leaves.watch(this.service, signal, context.token)) {
          this.#leaf = leaf;
          this.#changed();
        }
      } catch (error) {
        if (!signal.aborted) this.#fail(IsthmusError.from(error));
      }
    });
  }

  #reconfigure(): void {
    const { kind, context } = this.#deps;
    if (this.#life.signal.aborted) return;
    try {
      const registration = context.registration();
      if (registration.Kind !== kind.kind || kind.serviceOf(registration) !== this.service)
        throw new IsthmusError('unavailable', 'the proxy now belongs to another service; open the stream again');
      this.#kind.reconfigure();
    } catch (error) {
      this.#fail(IsthmusError.from(error));
    }
  }

  #changed(): void {
    this.#dirty = true;
    this.#wake?.();
  }

  #fail(error: IsthmusError): void {
    this.#failure ??= error;
    this.#wake?.();
  }

  #close(): void {
    for (const undo of this.#undo.splice(0)) undo();
    this.#kind.close();
    this.#life.release();
    this.#wake?.();
  }
}
