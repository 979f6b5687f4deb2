import { IsthmusError } from '../../lib/errors.ts';
import type { Txn } from '../engine.ts';
import type { EtcdClient } from './client.ts';
import { comparing } from './comparing.ts';
import { CallFailure } from './failure.ts';
import type { Head, Layout } from './head.ts';
import { type EtcdLeases, ended } from './leases.ts';
import { WriterSession } from './session.ts';
import { type Outcome, type Step, stepOutcome, stepRequest } from './step.ts';
import { METHODS } from './wire.ts';

/** Steps under way at once; more wait their turn. */
const MAX_STEPS = 256;
/** Sessions that may end under one step before it is given up. */
const MAX_SESSIONS = 3;

/** Carries steps out in etcd, each at most once, also when answers are lost. */
export class Writer {
  readonly #client: EtcdClient;
  readonly #leases: EtcdLeases;
  readonly #layout: Layout;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #session: Promise<WriterSession> | undefined;

  constructor(client: EtcdClient, leases: EtcdLeases, layout: Layout) {
    this.#client = client;
    this.#leases = leases;
    this.#layout = layout;
  }

  async write(txn: Txn, head: Head): Promise<Exclude<Outcome, { kind: 'stale' }>> {
    if (this.#running >= MAX_STEPS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      for (let tries = 0; tries < MAX_SESSIONS; tries += 1) {
        const outcome = await this.#try(txn, head);
        if (outcome !== undefined) return outcome;
      }
      throw new IsthmusError('unavailable', 'etcd ended the lease of this writer again and again; nothing was written');
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  /** Keeps the slots alive; called now and then. */
  async keep(): Promise<void> {
    const session = this.#session;
    if (session === undefined || (await (await session).keep())) return;
    if (this.#session === session) this.#session = undefined;
  }

  async close(): Promise<void> {
    const session = await this.#session?.catch(() => undefined);
    await session?.close();
  }

  /** Undefined when the session had ended before anything was written. */
  async #try(txn: Txn, head: Head): Promise<Exclude<Outcome, { kind: 'stale' }> | undefined> {
    const compare = await comparing(this.#client, txn, head, this.#layout);
    if ('refusedAt' in compare) return { kind: 'refused', revision: compare.refusedAt };
    const opened = this.#open();
    const session = await opened;
    const slot = session.take();
    const step: Step = { txn, compare, head, layout: this.#layout, slot, id: session.nextId() };
    const forget = (): undefined => {
      if (this.#session === opened) this.#session = undefined;
      return undefined;
    };
    let sent = 0;
    let outcome: Outcome;
    try {
      outcome = await this.#client.run('write', async () => {
        const request = stepRequest(step, sent + 1);
        const before = sent;
        sent += 1;
        try {
          return stepOutcome(step, await this.#client.attempt(METHODS.txn, request));
        } catch (thrown) {
          if (thrown instanceof CallFailure && thrown.kind !== 'doubtful') sent = before; // this try was not applied
          throw thrown;
        }
      });
    } catch (thrown) {
      if (sent > 0) throw inDoubt(thrown);
      session.give(slot); // nothing was written
      if (thrown instanceof IsthmusError && thrown.cause instanceof CallFailure && thrown.cause.is('lease not found')) {
        if (!(await this.#leases.lives(session.lease))) return forget();
        throw ended(
          txn.ops.flatMap((op) => (op.type === 'put' && op.lease !== undefined ? [op.lease] : [])).join(', '),
        );
      }
      throw thrown;
    }
    if (outcome.kind !== 'stale') {
      session.give(slot);
      return outcome;
    }
    if (sent > 1) throw inDoubt(undefined);
    return forget();
  }

  #open(): Promise<WriterSession> {
    if (this.#session === undefined) {
      const session = WriterSession.open(this.#leases, this.#layout);
      this.#session = session;
      session.catch(() => {
        if (this.#session === session) this.#session = undefined;
      });
    }
    return this.#session;
  }
}

function inDoubt(cause: unknown): IsthmusError {
  const why = cause instanceof IsthmusError ? `: ${cause.message}` : '';
  return new IsthmusError('unavailable', `etcd did not say whether it wrote; look before you write again${why}`, {
    ...(cause === undefined ? {} : { cause }),
  });
}
