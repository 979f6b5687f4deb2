import { Backoff } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { linkSignals, sleep } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import { Trigger } from '../../lib/trigger.ts';
import type { CaConfiguration, CaRoots, DatacenterRotation } from '../../model/ca.ts';
import { readSettings } from '../../model/ca-config.ts';
import { formatSpiffe, trustDomainOf } from '../../model/spiffe.ts';
import { parseCertificate } from '../../pki/certificate.ts';
import { signsFor } from '../../pki/chain.ts';
import { colonHex, keyIdOf } from '../../pki/keys.ts';
import type { Store } from '../../store/store.ts';
import { sameReport } from './datacenters.ts';
import { type Inventory, isoSeconds } from './inventory.ts';
import type { KeyStore } from './keystore.ts';
import type { CaProviders } from './providers/providers.ts';
import { mergeRoots } from './secondary-roots.ts';
import { activeRoot, allRoots, type CaTables, ONLY, rootKey } from './tables.ts';
import { validateSignedIntermediate } from './validate.ts';

/** The primary's CA as a secondary reaches it. Every call may fail at any time: the secondary goes on without. */
export interface PrimaryCa {
  /** The present roots at once, then every change. */
  watchRoots(signal: AbortSignal): AsyncIterable<CaRoots>;
  signIntermediate(csr: string, datacenter: string, signal: AbortSignal): Promise<{ certPem: string; rootId: string }>;
  report(report: DatacenterRotation, signal: AbortSignal): Promise<void>;
  config(signal: AbortSignal): Promise<CaConfiguration>;
  /** The present configuration at once, then every change. Without it, `config` is asked every 15 seconds. */
  watchConfig?(signal: AbortSignal): AsyncIterable<CaConfiguration>;
}

export interface SecondaryDeps {
  /** Writes as the datacenter's leader. */
  readonly store: Pick<Store, 'transact'>;
  readonly clock: Clock;
  readonly tables: CaTables;
  readonly keys: KeyStore;
  readonly providers: CaProviders;
  readonly inventory: Inventory;
  readonly primary: PrimaryCa;
  readonly datacenter: string;
  readonly primaryDatacenter: string;
  readonly random: () => number;
  readonly onStep: (step: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly onFailure: (what: string, error: IsthmusError) => void;
}

/** Near the end of its root's life an intermediate lives short: it is not renewed in a tight loop then. */
const MIN_RENEWAL_MS = 120_000;
/** How often the configuration is read where it can't be watched, and a broken watch on it is begun again. */
const CONFIG_REFRESH_MS = 15_000;
/** Reports are at least this far apart: a burst of agents makes two, one at once and one with the rest. */
const REPORT_GAP_MS = 25;
/** Longest pause between attempts; contact with the primary ends it at once. */
const MAX_RETRY_MS = 30_000;
const MAX_LINK_RETRY_MS = 4_000;
/** While roots rotate: holders that fall silent make no event. */
const REPORT_AGAIN_MS = 30_000;

/** A secondary's CA: follows the primary's roots, and keeps an intermediate of its own below the active one. */
export class SecondaryManager {
  readonly #deps: SecondaryDeps;
  readonly #renew = new Trigger();
  readonly #report = new Trigger();
  #tasks: TaskGroup | undefined;
  #target = '';
  #sent: DatacenterRotation | undefined;
  #linked = false;
  #lostAt: number;
  #linkError = '';
  #renewalError = '';
  /** Key of the intermediate that names no datacenter although it was asked for during this contact. */
  #unnamed = '';

  constructor(deps: SecondaryDeps) {
    this.#deps = deps;
    this.#lostAt = deps.clock.now();
  }

  /** Works as long as `tasks` run: while this server leads. What it had learned before counts for nothing. */
  start(tasks: TaskGroup): void {
    this.#tasks = tasks;
    this.#target = '';
    this.#sent = undefined;
    this.#linked = false;
    this.#renewalError = '';
    this.#lostAt = this.#deps.clock.now();
    const backoff = { baseMs: 100, maxMs: MAX_LINK_RETRY_MS, random: this.#deps.random };
    tasks.loop('ca roots from the primary', { backoff, pauseMs: 100 }, (signal, progress) =>
      this.#follow(signal, progress),
    );
    tasks.run('ca intermediate', (signal) => this.#keepIntermediate(signal));
    tasks.run('ca report to the primary', (signal) => this.#reportLoop(signal));
  }

  /** The time of day was set. */
  planAnew(): void {
    this.#renew.fire();
    this.#report.fire();
  }

  /** Something that the report holds may have changed. */
  changed(): void {
    this.#report.fire();
  }

  /** Why nothing can be signed yet; '' when nothing is in the way. */
  get blocker(): string {
    if (this.#deps.tables.intermediate.get(ONLY) !== undefined) return '';
    const { primaryDatacenter } = this.#deps;
    if (!this.#linked) {
      const why = this.#linkError === '' ? 'no answer yet' : this.#linkError;
      return `waiting for ${primaryDatacenter}: ${why} (since ${isoSeconds(this.#lostAt)})`;
    }
    if (this.#renewalError !== '')
      return `waiting for ${primaryDatacenter} to sign the intermediate: ${this.#renewalError}`;
    return `waiting for ${primaryDatacenter} to sign the intermediate`;
  }

  get lastRenewalError(): string {
    return this.#renewalError;
  }

  /** When the intermediate is replaced by plan; `undefined` while there is none. */
  get renewsAt(): number | undefined {
    const row = this.#deps.tables.intermediate.get(ONLY)?.value;
    if (row === undefined) return undefined;
    return row.notBefore + Math.max((row.notAfter - row.notBefore) / 2, MIN_RENEWAL_MS);
  }

  async #follow(signal: AbortSignal, progress: () => void): Promise<void> {
    const life = linkSignals(signal);
    try {
      let first = true;
      for await (const roots of this.#deps.primary.watchRoots(signal)) {
        await this.#apply(roots);
        await this.#readConfig(signal); // before the intermediate: it says what kind of key that has
        if (first) {
          this.#contact();
          this.#tasks?.run('reading the CA configuration', () => this.#followConfig(life.signal));
        }
        first = false;
        progress();
        this.#renew.fire();
        this.#report.fire();
      }
      throw new IsthmusError('unavailable', 'the primary ended the watch');
    } catch (error) {
      if (this.#linked) this.#lostAt = this.#deps.clock.now();
      this.#linked = false;
      this.#linkError = IsthmusError.from(error).message;
      throw error;
    } finally {
      life.abort();
      life.release();
    }
  }

  #contact(): void {
    this.#linked = true;
    this.#linkError = '';
    this.#unnamed = '';
    this.#sent = undefined; // the primary may have forgotten: tell it again
    this.#deps.onStep('primary reached', { datacenter: this.#deps.primaryDatacenter });
  }

  async #apply(roots: CaRoots): Promise<void> {
    const { store, tables, clock } = this.#deps;
    const known = tables.roots.list()[0]?.value.clusterId;
    if (known !== undefined && roots.TrustDomain !== trustDomainOf(known))
      throw new IsthmusError(
        'rejected',
        `the primary's trust domain is ${roots.TrustDomain}, this datacenter's is ${trustDomainOf(known)}: roots ` +
          `are not taken over`,
      );
    if (roots.ActiveRootID === '') throw new IsthmusError('unavailable', "the primary's CA is not initialized yet");
    this.#target = roots.ActiveRootID;
    const { changed } = await store.transact((tx) =>
      mergeRoots(tx, tables, roots, this.#settings().leafTtlMs, clock.now()),
    );
    if (changed) this.#deps.onStep('roots taken over', { roots: roots.Roots.map((root) => root.ID) });
  }

  /** Changes of the configuration alone don't show in the roots. Ends with the contact. */
  async #followConfig(signal: AbortSignal): Promise<void> {
    const { primary, clock } = this.#deps;
    while (!signal.aborted) {
      try {
        if (primary.watchConfig === undefined) await this.#readConfig(signal);
        else for await (const config of primary.watchConfig(signal)) await this.#takeConfig(config);
      } catch (error) {
        this.#failed('reading the CA configuration', error, signal);
      }
      await sleep(clock, CONFIG_REFRESH_MS, signal).catch(() => undefined); // only an abort rejects it
    }
  }

  async #readConfig(signal: AbortSignal): Promise<void> {
    await this.#takeConfig(await this.#deps.primary.config(signal));
  }

  async #takeConfig({ Provider, Config, ForceWithoutCrossSigning }: CaConfiguration): Promise<void> {
    const { store, tables } = this.#deps;
    const { leafTtlMs } = readSettings(Config);
    const row = { provider: Provider, config: Config, forceWithoutCrossSigning: ForceWithoutCrossSigning };
    await store.transact((tx) => {
      if (JSON.stringify(tx.get(tables.config, ONLY)) !== JSON.stringify(row)) tx.put(tables.config, row);
      const root = activeRoot(tables);
      const active = root === undefined ? undefined : tx.get(tables.roots, rootKey(root.id));
      if (active !== undefined && active.leafTtlMs < leafTtlMs) tx.put(tables.roots, { ...active, leafTtlMs });
    });
  }

  /** Obtains the intermediate, and another one at half of its life or when the primary moves to another root. */
  async #keepIntermediate(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps;
    const backoff = new Backoff({ baseMs: 250, maxMs: MAX_RETRY_MS, random });
    while (!signal.aborted) {
      if (this.#due()) {
        try {
          await this.#obtain(signal);
          backoff.reset();
          this.#renewalError = '';
        } catch (error) {
          if (signal.aborted) return;
          this.#renewalError = IsthmusError.from(error).message;
          this.#failed('renewing the intermediate', error, signal);
          await this.#renew.wait(clock, backoff.next(), signal);
        }
        continue;
      }
      const renewsAt = this.renewsAt;
      await this.#renew.wait(clock, renewsAt === undefined ? undefined : renewsAt - clock.now(), signal);
    }
  }

  #due(): boolean {
    const current = this.#deps.tables.intermediate.get(ONLY)?.value;
    if (current === undefined) return this.#target !== '';
    if (this.#target !== '' && this.#target !== current.rootId) return true;
    if (this.#linked && this.#unnamed !== current.keyId && signsFor(parseCertificate(current.pem)) === undefined)
      return true; // of an earlier version
    if (this.#deps.clock.now() < current.notBefore) return true; // made while the clock was ahead
    const renewsAt = this.renewsAt;
    return renewsAt !== undefined && this.#deps.clock.now() >= renewsAt;
  }

  async #obtain(signal: AbortSignal): Promise<void> {
    const { store, tables, keys, clock, primary, datacenter } = this.#deps;
    const before = tables.intermediate.get(ONLY)?.value;
    const clusterId = allRoots(tables)[0]?.clusterId;
    if (clusterId === undefined) throw new IsthmusError('unavailable', 'the roots are not known yet');
    const settings = this.#settings();
    const provider = tables.config.get(ONLY)?.value.provider ?? DEFAULT_PROVIDER;
    const uri = formatSpiffe({ kind: 'signing', trustDomain: trustDomainOf(clusterId) });
    const request = await this.#deps.providers.find(provider).requestIntermediate(settings, uri);
    const answer = await primary.signIntermediate(request.csr, datacenter, signal);
    const root = tables.roots.get(rootKey(answer.rootId))?.value;
    if (root === undefined)
      throw new IsthmusError('unavailable', 'the primary signed under a root that has not arrived yet');
    const certificate = validateSignedIntermediate(
      answer.certPem,
      root.pem,
      { spki: request.spki, datacenter },
      clock.now(),
    );
    const keyId = colonHex(keyIdOf(certificate.spki));
    const signingKeyId = certificate.subjectKeyId === undefined ? keyId : colonHex(certificate.subjectKeyId);
    const now = clock.now();
    // One commit: whoever sees the new active root can have a leaf under it at once.
    const { changed } = await store.transact((tx) => {
      if (tx.get(tables.intermediate, ONLY)?.keyId !== before?.keyId) return; // another server was first
      keys.put(tx, keyId, request.secret);
      if (before !== undefined) keys.remove(tx, before.keyId);
      const { notBefore, notAfter } = certificate;
      tx.put(tables.intermediate, { rootId: root.id, provider, pem: answer.certPem, keyId, notBefore, notAfter });
      for (const { value } of tables.roots.list()) {
        const row = tx.get(tables.roots, rootKey(value.id));
        if (row === undefined) continue;
        if (row.id === root.id)
          tx.put(tables.roots, {
            ...row,
            state: 'active',
            intermediate: answer.certPem,
            signingKeyId,
            supersededAt: 0,
            leafTtlMs: Math.max(row.leafTtlMs, settings.leafTtlMs),
          });
        else if (row.state === 'active') tx.put(tables.roots, { ...row, state: 'old', supersededAt: now });
      }
    });
    // A primary of an earlier version names no datacenter in it: asked again after the next contact.
    this.#unnamed = signsFor(certificate) === undefined ? keyId : '';
    if (!changed) return;
    this.#deps.onStep('intermediate activated', {
      root: root.id,
      until: isoSeconds(parseCertificate(answer.certPem).notAfter),
    });
    this.#report.fire();
  }

  /** Tells the primary what is held here whenever it has changed during a rotation, and after each reconnection. */
  async #reportLoop(signal: AbortSignal): Promise<void> {
    const { clock, primary, inventory, tables, random } = this.#deps;
    const backoff = new Backoff({ baseMs: 100, maxMs: MAX_LINK_RETRY_MS, random });
    let rotating = false;
    let earliest = 0;
    for (;;) {
      await this.#report.wait(clock, rotating ? REPORT_AGAIN_MS : undefined, signal);
      const rest = earliest - clock.steady();
      if (rest > 0) await sleep(clock, Math.min(rest, REPORT_GAP_MS), signal);
      const wasRotating = rotating;
      rotating = tables.roots.size > 1;
      if (!this.#linked || !(rotating || wasRotating || this.#sent === undefined)) continue;
      const report = inventory.aggregate();
      if (this.#sent !== undefined && sameReport(this.#sent, report)) continue;
      earliest = clock.steady() + REPORT_GAP_MS;
      try {
        await primary.report(report, signal);
        this.#sent = report;
        backoff.reset();
      } catch (error) {
        this.#failed('reporting to the primary', error, signal);
        await sleep(clock, backoff.next(), signal);
        this.#report.fire();
      }
    }
  }

  #settings(): ReturnType<typeof readSettings> {
    return readSettings(this.#deps.tables.config.get(ONLY)?.value.config ?? {});
  }

  #failed(what: string, error: unknown, signal: AbortSignal): void {
    if (!signal.aborted) this.#deps.onFailure(what, IsthmusError.from(error));
  }
}

const DEFAULT_PROVIDER = 'consul';
