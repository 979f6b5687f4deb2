import { isDeepStrictEqual } from 'node:util';
import { Backoff } from '../../lib/backoff.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import { sleep } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { HealthCheck, NodeService, RegisterRequest } from '../../model/catalog.ts';
import type { Source } from '../../model/registration/definitions.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import type { CheckForm, LocalCheck, LocalService, Registry } from './registry.ts';

export interface NodeInfo {
  readonly node: string;
  readonly nodeId: string;
  readonly address: string;
  readonly taggedAddresses: Readonly<Record<string, string>>;
  readonly nodeMeta: Readonly<Record<string, string>>;
}

export interface CatalogSyncDeps {
  readonly info: NodeInfo;
  readonly registry: Registry;
  readonly contract: Pick<ServerContract, 'read' | 'write'>;
  readonly clock: Clock;
  readonly tasks: TaskGroup;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Chance in [0, 1). */
  readonly random: () => number;
  /** Token for rows that came without one; absent means anonymous. */
  readonly token: (() => string | undefined) | undefined;
  /** Token for services and checks of files that came without one, before {@link token}. */
  readonly fileToken?: (() => string) | undefined;
}

export interface CatalogSyncOptions {
  /** Time between two comparisons with the whole of the catalog's rows of this node, milliseconds. */
  readonly fullIntervalMs: number;
  /** How long a change of output alone may wait, milliseconds; 0 sends it at once. */
  readonly outputDelayMs: number;
}

/** Rows of this node that are a server's own and no registration of the agent. */
const SERVER_SERVICE = 'consul';
const SERVER_CHECK = 'serfHealth';

/** Failures are tried again after a growing pause up to this, milliseconds. */
const MAX_RETRY_MS = 30_000;

/**
 * Brings the catalog's rows of this node to what the agent has: changes at once, and everything from time to time, in
 * case somebody else changed the rows. Only rows that differ are written, and only this node's are ever removed.
 */
export class CatalogSync {
  readonly #deps: CatalogSyncDeps;
  readonly #options: CatalogSyncOptions;
  /** IDs whose rows may differ from the catalog's. */
  readonly #services = new Set<string>();
  readonly #checks = new Set<string>();
  /** Checks whose output may lag in the catalog until their timer fires. */
  readonly #deferred = new Map<string, Timer>();
  readonly #writes;
  #fullWanted = true;
  /** False until the catalog was compared with for the first time since the start. */
  #compared = false;
  #wake: (() => void) | undefined;

  constructor(deps: CatalogSyncDeps, options: CatalogSyncOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#writes = deps.metrics.counter({
      name: 'isthmus_agent_sync_writes_total',
      help: 'Rows that the agent wrote to the catalog, by outcome (ok, refused, failed)',
      labels: ['outcome'],
    });
    deps.registry.onChange((change) => {
      if (change.kind === 'service') this.#services.add(change.id);
      else if (change.kind !== 'output' || this.#options.outputDelayMs <= 0) this.#markCheck(change.id);
      else this.#defer(change.id);
      this.#wake?.();
    });
  }

  start(): void {
    const { tasks, clock } = this.#deps;
    const backoff = new Backoff({ baseMs: 200, maxMs: MAX_RETRY_MS, random: this.#deps.random });
    tasks.run('catalog sync', async (signal) => {
      while (!signal.aborted) {
        try {
          await this.#step(signal);
          backoff.reset();
          await this.#waitForWork(signal);
        } catch (error) {
          if (signal.aborted) return;
          const wait = backoff.next();
          this.#deps.log.warn('catalog sync failed', {
            error: IsthmusError.from(error).message,
            retryInMs: Math.round(wait),
          });
          await sleep(clock, wait, signal).catch(() => undefined); // only an abort rejects it
        }
      }
    });
  }

  /** Compares everything soon. */
  requestFull(): void {
    this.#fullWanted = true;
    this.#wake?.();
  }

  stop(): void {
    for (const timer of this.#deferred.values()) timer.cancel();
    this.#deferred.clear();
  }

  /** True when nothing is known to differ. */
  get idle(): boolean {
    return !this.#fullWanted && this.#services.size === 0 && this.#checks.size === 0;
  }

  #markCheck(id: string): void {
    this.#deferred.get(id)?.cancel();
    this.#deferred.delete(id);
    this.#checks.add(id);
  }

  #defer(id: string): void {
    if (this.#checks.has(id) || this.#deferred.has(id)) return;
    const delay = this.#options.outputDelayMs / 2 + this.#deps.random() * this.#options.outputDelayMs;
    const timer = this.#deps.clock.after(delay, () => {
      this.#markCheck(id);
      this.#wake?.();
    });
    this.#deferred.set(id, timer);
  }

  async #step(signal: AbortSignal): Promise<void> {
    if (this.#fullWanted) await this.#compareAll(signal);
    await this.#writeChanges(signal);
  }

  #waitForWork(signal: AbortSignal): Promise<void> {
    if (!this.idle || signal.aborted) return Promise.resolve(); // an abort during the step before makes no event here
    const { clock, random } = this.#deps;
    return new Promise((resolve) => {
      const finish = (): void => {
        timer.cancel();
        this.#wake = undefined;
        signal.removeEventListener('abort', finish);
        resolve();
      };
      const pause = this.#options.fullIntervalMs * (1 + random() / 4);
      const timer = clock.after(pause, () => {
        this.#fullWanted = true;
        finish();
      });
      this.#wake = finish;
      signal.addEventListener('abort', finish, { once: true });
    });
  }

  /** Finds what differs from the catalog's rows of this node; writes only the node's own row. */
  async #compareAll(signal: AbortSignal): Promise<void> {
    const { contract, info, registry } = this.#deps;
    this.#fullWanted = false;
    try {
      const options = { signal, consistency: 'consistent' as const, ...this.#tokenOption('') };
      const known = (await contract.read('catalog.nodeServices', { node: info.node }, options)).value;
      const checks = (await contract.read('health.node', { node: info.node }, options)).value;
      if (known === null || !this.#sameNode(known.Node)) await this.#writeNode(signal);
      const services = new Map((known?.Services ?? []).map((service) => [service.ID, service]));
      this.#adoptTags(services);
      for (const { form } of registry.services())
        if (!sameRow(form, services.get(form.ID))) this.#services.add(form.ID);
      for (const id of services.keys())
        if (id !== SERVER_SERVICE && registry.service(id) === undefined) this.#services.add(id);
      const byId = new Map(checks.map((check) => [check.CheckID, check]));
      this.#adoptStatuses(byId);
      for (const { form } of registry.checks())
        if (!sameCheck(form, byId.get(form.CheckID), this.#deferred.has(form.CheckID))) this.#checks.add(form.CheckID);
      for (const id of byId.keys()) if (id !== SERVER_CHECK && registry.check(id) === undefined) this.#checks.add(id);
      this.#compared = true;
    } catch (error) {
      this.#fullWanted = true;
      throw error;
    }
  }

  /**
   * A check that was not carried out since the agent started keeps its status: a restart alone makes nothing critical.
   */
  #adoptStatuses(known: ReadonlyMap<string, HealthCheck>): void {
    const { registry, clock } = this.#deps;
    for (const { form, unproven } of registry.checks()) {
      const row = known.get(form.CheckID);
      if (unproven !== true || row === undefined || row.ServiceID !== form.ServiceID) continue;
      registry.updateCheck(form.CheckID, row.Status, row.Output, clock.steady());
      const now = registry.check(form.CheckID);
      if (now !== undefined && sameCheck(now.form, row, false)) this.#checks.delete(form.CheckID);
    }
  }

  /** Without a right to the node's row, services that bring tokens of their own are still written. */
  async #writeNode(signal: AbortSignal): Promise<void> {
    try {
      await this.#write(this.#nodeRequest(), '', signal);
    } catch (error) {
      if (!hasCode(error, 'permission_denied')) throw error;
      this.#deps.log.warn('the catalog refused this node: the agent token lacks node:write on it', {
        error: error.message,
      });
    }
  }

  /**
   * Where a service lets others override its tags, the catalog's tags are taken over. A change that is not written yet
   * is newer than the catalog's tags, but not at the first comparison: then every service is new, and the tags are as
   * before.
   */
  #adoptTags(known: ReadonlyMap<string, NodeService>): void {
    const { registry } = this.#deps;
    for (const service of registry.services()) {
      const { ID: id, EnableTagOverride, Tags: own } = service.form;
      const row = known.get(id);
      if (!EnableTagOverride || row === undefined || (this.#compared && this.#services.has(id))) continue;
      if (isDeepStrictEqual(row.Tags ?? [], own ?? [])) continue;
      const form = { ...service.form, Tags: row.Tags };
      registry.putService({ ...service, form, ownTags: service.ownTags ?? own ?? [] });
      for (const check of registry.checksOf(id))
        registry.putCheck({ ...check, form: { ...check.form, ServiceTags: row.Tags } });
      if (sameRow(form, row)) this.#services.delete(id);
    }
  }

  #sameNode(row: {
    readonly ID: string;
    readonly Address: string;
    readonly TaggedAddresses: unknown;
    readonly Meta: unknown;
  }): boolean {
    const { nodeId, address, taggedAddresses, nodeMeta } = this.#deps.info;
    return (
      row.ID === nodeId &&
      row.Address === address &&
      isDeepStrictEqual(row.TaggedAddresses ?? {}, taggedAddresses) &&
      isDeepStrictEqual(row.Meta ?? {}, nodeMeta)
    );
  }

  /** One row after the other; one that is refused does not hold up the rest. */
  async #writeChanges(signal: AbortSignal): Promise<void> {
    const { registry } = this.#deps;
    for (const id of [...this.#services]) {
      const service = registry.service(id);
      this.#services.delete(id);
      await this.#guard(id, this.#services, () =>
        service === undefined ? this.#deregister({ ServiceID: id }, signal) : this.#registerService(service, signal),
      );
    }
    for (const id of [...this.#checks]) {
      if (!this.#checks.delete(id)) continue; // written with its service
      const check = registry.check(id);
      await this.#guard(id, this.#checks, () =>
        check === undefined ? this.#deregister({ CheckID: id }, signal) : this.#registerCheck(check, signal),
      );
    }
  }

  /** A refusal is logged and waits for the next comparison; any other failure is tried again. */
  async #guard(id: string, pending: Set<string>, write: () => Promise<void>): Promise<void> {
    try {
      await write();
      this.#writes.add(1, { outcome: 'ok' });
    } catch (error) {
      if (isRefusal(error)) {
        this.#writes.add(1, { outcome: 'refused' });
        this.#deps.log.warn('the catalog refused a registration', { id, error: error.message });
        return;
      }
      this.#writes.add(1, { outcome: 'failed' });
      pending.add(id);
      throw error;
    }
  }

  /** A service goes with its checks, so that no client sees it without them. */
  async #registerService({ form, token, source }: LocalService, signal: AbortSignal): Promise<void> {
    const own = this.#deps.registry.checksOf(form.ID).filter((check) => check.token === token);
    for (const check of own) this.#take(check.form.CheckID);
    const request = { ...this.#nodeIfNew(), Service: form, Checks: own.map((check) => this.#checkRow(check.form)) };
    try {
      await this.#write(request, token || this.#fileToken(source), signal);
    } catch (error) {
      if (!isRefusal(error)) for (const check of own) this.#checks.add(check.form.CheckID);
      throw error;
    }
  }

  async #registerCheck({ form, token, source }: LocalCheck, signal: AbortSignal): Promise<void> {
    this.#take(form.CheckID);
    await this.#write({ ...this.#nodeIfNew(), Check: this.#checkRow(form) }, token || this.#fileToken(source), signal);
  }

  /** What is about to be written is no longer pending, nor its output late. */
  #take(id: string): void {
    this.#checks.delete(id);
    this.#deferred.get(id)?.cancel();
    this.#deferred.delete(id);
  }

  async #deregister(
    row: { readonly ServiceID: string } | { readonly CheckID: string },
    signal: AbortSignal,
  ): Promise<void> {
    const options = { signal, ...this.#tokenOption('') };
    await this.#deps.contract.write('catalog.deregister', { Node: this.#deps.info.node, ...row }, options);
  }

  async #write(request: RegisterRequest, token: string, signal: AbortSignal): Promise<void> {
    await this.#deps.contract.write('catalog.register', request, { signal, ...this.#tokenOption(token) });
  }

  #nodeRequest(): RegisterRequest {
    const { node, nodeId, address, taggedAddresses, nodeMeta } = this.#deps.info;
    return { ID: nodeId, Node: node, Address: address, TaggedAddresses: taggedAddresses, NodeMeta: nodeMeta };
  }

  /** The token of a service has no right to the node's row: only a comparison writes it, with the agent's. */
  #nodeIfNew(): RegisterRequest {
    return { ...this.#nodeRequest(), SkipNodeUpdate: true };
  }

  #checkRow(form: CheckForm): Partial<HealthCheck> {
    return { ...form, Node: this.#deps.info.node };
  }

  #fileToken(source: Source): string {
    return source === 'file' ? (this.#deps.fileToken?.() ?? '') : '';
  }

  #tokenOption(token: string): { readonly token?: string } {
    const chosen = token || this.#deps.token?.();
    return chosen === undefined || chosen === '' ? {} : { token: chosen };
  }
}

/** Trying again would not help. */
function isRefusal(error: unknown): error is IsthmusError {
  return hasCode(error, 'rejected', 'permission_denied', 'invalid_argument');
}

function sameRow(form: object, row: NodeService | undefined): boolean {
  if (row === undefined) return false;
  const { CreateIndex, ModifyIndex, ...content } = row;
  return isDeepStrictEqual(form, content);
}

function sameCheck(form: CheckForm, row: HealthCheck | undefined, outputMayLag: boolean): boolean {
  if (row === undefined) return false;
  const { Node, Definition, CreateIndex, ModifyIndex, ...content } = row;
  return isDeepStrictEqual(
    { ...form, ServiceTags: form.ServiceTags ?? [], Output: outputMayLag ? '' : form.Output },
    { ...content, ServiceTags: content.ServiceTags ?? [], Output: outputMayLag ? '' : content.Output },
  );
}
