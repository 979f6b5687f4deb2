import type { KeyObject } from 'node:crypto';
import { Backoff } from '../../lib/backoff.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { abortable, sleep, withDeadline } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import { turn } from '../../lib/turn.ts';
import type { IssuedCert, LeafCert } from '../../model/ca.ts';
import { canonicalServiceName } from '../../model/names.ts';
import { formatSpiffe } from '../../model/spiffe.ts';
import { createCsr, type OwnCsrs } from '../../pki/csr.ts';
import { generateLeafKey, privateKeyToPem, spkiOf } from '../../pki/keys.ts';
import { leafCommonName } from '../../pki/names.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { WriteArgs } from '../../rpc/contract/writes.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { type CachedAnswer, type CachedRead, Held } from './held.ts';
import { isFromTheFuture, isLive, isValid, type Life, longestRetry, renewalTime } from './leaf-plan.ts';
import type { RootsSource } from './roots-cache.ts';

export interface LeafManagerDeps {
  readonly contract: Pick<ServerContract, 'write'>;
  readonly roots: RootsSource;
  readonly datacenter: string;
  readonly clock: Clock;
  /** Chance in [0, 1). */
  readonly random: () => number;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Where a server in the same process finds the requests made here. */
  readonly ownCsrs?: OwnCsrs;
}

export interface LeafManagerOptions {
  /** Background re-issues at the same time. Default 16. */
  readonly concurrency?: number;
  /** A leaf that was not asked for or followed this long is not renewed. Default 72 hours. */
  readonly idleMs?: number;
  /** Leaves held at most. Default 20,000. */
  readonly maxLeaves?: number;
}

export type IssueReason = 'new' | 'renewal' | 'root_changed';

/**
 * How often the clock on the wall is compared with the plan, milliseconds: timers stand still while a machine sleeps.
 */
const GUARD_MS = 60_000;
const SIGN_DEADLINE_MS = 10_000;

interface Leaf {
  readonly service: string;
  readonly key: KeyObject;
  readonly spki: Buffer;
  readonly keyPem: string;
  readonly held: Held<LeafCert>;
  readonly backoff: Backoff;
  /** Of whoever asked last: servers in another process want to see a right to the service. */
  token: string | undefined;
  rootId: string;
  life: Life | undefined;
  fetchedAt: number;
  usedAt: number;
  renewAt: number;
  timer: Timer | undefined;
  issuing: Promise<void> | undefined;
  queued: boolean;
}

/** The leaf certificates of this agent's services: issued when first asked for, renewed and moved in the background. */
export class LeafManager implements Service {
  readonly name = 'leaf manager';
  readonly #deps: LeafManagerDeps;
  readonly #concurrency: number;
  readonly #idleMs: number;
  readonly #maxLeaves: number;
  readonly #leaves = new Map<string, Leaf>();
  readonly #queue: { readonly leaf: Leaf; readonly reason: IssueReason }[] = [];
  readonly #counts: Record<IssueReason, number> = { new: 0, renewal: 0, root_changed: 0 };
  readonly #changeListeners = new Set<() => void>();
  readonly #tasks;
  readonly #issued;
  #running = 0;
  #activeRootId: string | undefined;
  #unsubscribe: (() => void) | undefined;
  #endJumps: () => void = () => undefined;

  constructor(deps: LeafManagerDeps, options: LeafManagerOptions = {}) {
    this.#deps = deps;
    this.#concurrency = options.concurrency ?? 16;
    this.#idleMs = options.idleMs ?? 72 * 3_600_000;
    this.#maxLeaves = options.maxLeaves ?? 20_000;
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (name, error) => deps.log.error('leaf task failed', { task: name, error: error.message }),
    });
    this.#issued = deps.metrics.counter({
      name: 'isthmus_agent_leaf_issued_total',
      help: 'Leaf certificates issued for services of this agent, by reason',
      labels: ['reason'],
    });
    deps.metrics.gauge({ name: 'isthmus_agent_leaves', help: 'Leaf certificates that this agent holds' }, (set) =>
      set(this.#leaves.size),
    );
  }

  async start(): Promise<void> {
    this.#unsubscribe = this.#deps.roots.held.subscribe(() => this.#onRoots());
    this.#onRoots();
    this.#endJumps = this.#deps.clock.onJump(() => this.#planAnew());
    this.#tasks.run('wake guard', async (signal) => {
      for (;;) {
        await sleep(this.#deps.clock, GUARD_MS, signal);
        const now = this.#deps.clock.now();
        for (const leaf of this.#leaves.values()) if (leaf.renewAt <= now) this.#onDue(leaf);
      }
    });
  }

  async stop(): Promise<void> {
    this.#unsubscribe?.();
    this.#endJumps();
    for (const leaf of this.#leaves.values()) leaf.timer?.cancel();
    await this.#tasks.stop();
  }

  /** How many certificates were issued, by reason. */
  get counts(): Readonly<Record<IssueReason, number>> {
    return this.#counts;
  }

  /** Live leaves by the root that they end in. */
  leavesByRoot(): Readonly<Record<string, number>> {
    const now = this.#deps.clock.now();
    const counts: Record<string, number> = {};
    for (const { life, rootId } of this.#leaves.values())
      if (life !== undefined && isLive(life, now)) counts[rootId] = (counts[rootId] ?? 0) + 1;
    return counts;
  }

  /** Calls `listener` when a leaf was issued or dropped; returns the function that ends it. */
  onChange(listener: () => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  /** The leaf of a service: the held one, or a new one. With an index it waits for the next one. */
  async get(service: string, options: CachedRead & { readonly token?: string }): Promise<CachedAnswer<LeafCert>> {
    const leaf = this.#leaf(service, options.token);
    leaf.usedAt = this.#deps.clock.steady();
    const cacheHit = this.#isFresh(leaf);
    if (!cacheHit) await this.#obtain(leaf, options.signal);
    const version = await leaf.held.wait(options);
    if (version === undefined) throw new IsthmusError('unavailable', 'the certificate was not issued in time');
    leaf.usedAt = this.#deps.clock.steady();
    return { ...version, cacheHit, ageMs: this.#deps.clock.steady() - leaf.fetchedAt };
  }

  /** The leaf of a service, then every later one. Failures to issue are retried until `signal` aborts. */
  async *watch(service: string, signal: AbortSignal, token?: string): AsyncGenerator<LeafCert, void, void> {
    const leaf = this.#leaf(service, token);
    const keep = leaf.held.subscribe(() => undefined); // followed: it must not be dropped as idle
    try {
      if (!this.#isFresh(leaf) && leaf.issuing === undefined) this.#enqueue(leaf, 'new');
      for await (const { value } of leaf.held.follow(signal)) yield value;
    } finally {
      keep();
      leaf.usedAt = this.#deps.clock.steady();
    }
  }

  /** For somebody who waits. A slot that the authority gives is waited for when it is near enough. */
  async #obtain(leaf: Leaf, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const until = clock.steady() + SIGN_DEADLINE_MS;
    while (!this.#isFresh(leaf)) {
      try {
        await abortable(this.#issue(leaf, leaf.held.current === undefined ? 'new' : 'renewal'), signal);
        return;
      } catch (error) {
        const slotMs = slotOf(error);
        if (slotMs === undefined || clock.steady() + slotMs > until) throw error;
        await sleep(clock, slotMs, signal);
      }
    }
  }

  /** One for each service, whichever case its name is asked for in. */
  #leaf(name: string, token: string | undefined): Leaf {
    if (name === '') throw new IsthmusError('rejected', 'URI must be either service or agent');
    const service = canonicalServiceName(name);
    const known = this.#leaves.get(service);
    if (known !== undefined) {
      known.token = token ?? known.token;
      return known;
    }
    if (this.#leaves.size >= this.#maxLeaves)
      throw new IsthmusError('unavailable', `this agent holds ${this.#maxLeaves} leaf certificates, its limit`);
    const key = generateLeafKey();
    const leaf: Leaf = {
      service,
      key,
      spki: spkiOf(key),
      keyPem: privateKeyToPem(key),
      held: new Held(this.#deps.clock),
      backoff: new Backoff({ baseMs: 500, maxMs: 60_000, random: this.#deps.random }),
      token,
      rootId: '',
      life: undefined,
      fetchedAt: 0,
      usedAt: this.#deps.clock.steady(),
      renewAt: Number.POSITIVE_INFINITY,
      timer: undefined,
      issuing: undefined,
      queued: false,
    };
    this.#leaves.set(service, leaf);
    return leaf;
  }

  #isFresh(leaf: Leaf): boolean {
    return leaf.life !== undefined && isLive(leaf.life, this.#deps.clock.now());
  }

  /** The root that leaves should end in changed: all move, those with the least life left first. */
  #onRoots(): void {
    const active = this.#deps.roots.held.current?.value.ActiveRootID;
    if (active === undefined || active === '') return;
    if (this.#activeRootId === active) {
      this.#retryMoves();
      return;
    }
    this.#activeRootId = active;
    this.#moveAll();
  }

  #moveAll(): void {
    const stale = [...this.#leaves.values()].filter((leaf) => this.#mustMove(leaf));
    stale.sort((a, b) => (a.life?.to ?? 0) - (b.life?.to ?? 0));
    for (const leaf of stale) this.#enqueue(leaf, 'root_changed');
  }

  /** The set of roots changed but not the active one: what failed to move may move now. */
  #retryMoves(): void {
    for (const leaf of this.#leaves.values()) if (this.#mustMove(leaf)) this.#enqueue(leaf, 'root_changed');
  }

  #mustMove(leaf: Leaf): boolean {
    return leaf.life !== undefined && this.#activeRootId !== undefined && leaf.rootId !== this.#activeRootId;
  }

  /** The time of day was set: what is not valid by it is replaced at once, and everything else has its slot anew. */
  #planAnew(): void {
    const now = this.#deps.clock.now();
    for (const leaf of this.#leaves.values()) {
      const good = leaf.life !== undefined && isValid(leaf.life, now) && !this.#mustMove(leaf);
      if (good) this.#plan(leaf, renewalTime(leaf.life as Life, this.#deps.random()));
      else if (leaf.issuing === undefined) this.#enqueue(leaf, leaf.life === undefined ? 'new' : 'renewal');
    }
  }

  #onDue(leaf: Leaf): void {
    const { clock } = this.#deps;
    if (this.#leaves.get(leaf.service) !== leaf) return;
    if (leaf.held.followers === 0 && clock.steady() - leaf.usedAt >= this.#idleMs) {
      leaf.timer?.cancel();
      this.#leaves.delete(leaf.service);
      this.#changed();
      return;
    }
    this.#enqueue(leaf, leaf.life === undefined ? 'new' : this.#mustMove(leaf) ? 'root_changed' : 'renewal');
  }

  #enqueue(leaf: Leaf, reason: IssueReason): void {
    if (leaf.queued) return;
    leaf.queued = true;
    this.#queue.push({ leaf, reason });
    this.#drain();
  }

  /**
   * Background work never takes more than its slots, and each piece of it waits for its turn of the event loop: a
   * server that moves thousands of its own leaves goes on answering meanwhile.
   */
  #drain(): void {
    while (this.#running < this.#concurrency) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      this.#running += 1;
      this.#tasks.run(`issue ${next.leaf.service}`, async () => {
        try {
          await turn();
          await this.#issue(next.leaf, next.reason);
        } catch {
          // told and planned again where it failed
        } finally {
          next.leaf.queued = false;
          this.#running -= 1;
          this.#drain();
        }
      });
    }
  }

  /** One at a time for each leaf; whoever asks meanwhile gets the same outcome. */
  #issue(leaf: Leaf, reason: IssueReason): Promise<void> {
    if (leaf.issuing === undefined) {
      leaf.issuing = this.#sign(leaf, reason).finally(() => {
        leaf.issuing = undefined;
      });
      leaf.issuing.catch(() => undefined); // whoever waited may have gone; the failure was reported already
    }
    return leaf.issuing;
  }

  async #sign(leaf: Leaf, reason: IssueReason): Promise<void> {
    const { clock, datacenter, log, roots } = this.#deps;
    const limit = withDeadline(clock, SIGN_DEADLINE_MS, 'issuing the certificate', this.#tasks.signal);
    try {
      const known = roots.held.current ?? (await roots.held.wait({ signal: limit.signal }));
      if (known === undefined) throw new IsthmusError('unavailable', 'no root certificate is known yet');
      const { service, key, spki } = leaf;
      const trustDomain = known.value.TrustDomain;
      const uri = formatSpiffe({ kind: 'service', trustDomain, namespace: 'default', datacenter, service });
      const csr = createCsr(key, { uri, commonName: leafCommonName(service, trustDomain), spki }, this.#deps.ownCsrs);
      const expires = leaf.life !== undefined && isLive(leaf.life, clock.now()) ? leaf.life.to : 0;
      this.#accept(leaf, await this.#askToSign({ csr, expires }, leaf, limit.signal), reason);
    } catch (thrown) {
      const error = IsthmusError.from(thrown);
      if (!this.#tasks.signal.aborted) {
        const slotMs = slotOf(error);
        const retryInMs = slotMs === undefined ? this.#retryLater(leaf) : this.#keepSlot(leaf, slotMs);
        const fields = { service: leaf.service, reason, error: error.message, retryInMs };
        if (slotMs === undefined) log.warn('issuing a leaf certificate failed', fields);
        else log.debug('a leaf certificate has to wait for its slot', fields); // thousands do when a root changes
      }
      throw error;
    } finally {
      limit.release();
    }
  }

  /** A token may have gone since it asked: then the agent's own must do. */
  async #askToSign(request: WriteArgs<'ca.signLeaf'>, leaf: Leaf, signal: AbortSignal): Promise<IssuedCert> {
    const { contract } = this.#deps;
    if (leaf.token !== undefined) {
      try {
        return (await contract.write('ca.signLeaf', request, { signal, token: leaf.token })).value;
      } catch (error) {
        if (!hasCode(error, 'permission_denied')) throw error;
        leaf.token = undefined;
      }
    }
    return (await contract.write('ca.signLeaf', request, { signal })).value;
  }

  #accept(leaf: Leaf, issued: IssuedCert, reason: IssueReason): void {
    const { clock, random } = this.#deps;
    const now = clock.now();
    const life = { from: Date.parse(issued.ValidAfter), to: Date.parse(issued.ValidBefore) };
    leaf.life = life;
    leaf.rootId = issued.RootID;
    leaf.fetchedAt = clock.steady();
    this.#counts[reason] += 1;
    this.#issued.add(1, { reason });
    const { RootID: _root, CertPEM, SerialNumber, ...rest } = issued;
    leaf.held.set({ SerialNumber, CertPEM, PrivateKeyPEM: leaf.keyPem, ...rest }, issued.ModifyIndex);
    if (this.#mustMove(leaf) || isFromTheFuture(life, now))
      this.#retryLater(leaf); // under the old root still, or by a server whose clock is ahead: ask again soon
    else {
      leaf.backoff.reset();
      this.#plan(leaf, renewalTime(life, random()));
    }
    this.#changed();
  }

  /** Plans another try, unless the leaf is no longer in use; returns the pause. */
  #retryLater(leaf: Leaf): number {
    const pause = Math.min(leaf.backoff.next(), longestRetry(leaf.life));
    if (leaf.life === undefined && leaf.held.followers === 0) this.#leaves.delete(leaf.service);
    else this.#plan(leaf, this.#deps.clock.now() + pause);
    return pause;
  }

  /** Comes back when the authority said, not sooner and not later: the place in its line is lost otherwise. */
  #keepSlot(leaf: Leaf, slotMs: number): number {
    this.#plan(leaf, this.#deps.clock.now() + slotMs);
    return slotMs;
  }

  #plan(leaf: Leaf, at: number): void {
    const { clock } = this.#deps;
    leaf.timer?.cancel();
    if (this.#tasks.signal.aborted) return;
    leaf.renewAt = at;
    leaf.timer = clock.after(Math.max(0, at - clock.now()), () => this.#onDue(leaf));
  }

  #changed(): void {
    for (const listener of this.#changeListeners) listener();
  }
}

/** Milliseconds until the slot that the authority gave; undefined for any other failure. */
function slotOf(error: unknown): number | undefined {
  if (!hasCode(error, 'rate_limited')) return undefined;
  const { retryAfterMs } = error.details;
  return typeof retryAfterMs === 'number' ? retryAfterMs : undefined;
}
