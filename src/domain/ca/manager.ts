import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import { Mutex } from '../../lib/mutex.ts';
import type { RotationStatus } from '../../model/ca.ts';
import { type ConfigRequest, publicConfig, readSettings } from '../../model/ca-config.ts';
import { type Certificate, parseCertificate } from '../../pki/certificate.ts';
import { colonHex } from '../../pki/keys.ts';
import type { Store, Tx } from '../../store/store.ts';
import type { Inventory } from './inventory.ts';
import type { KeyStore } from './keystore.ts';
import { asksForOther, makeRoot } from './new-root.ts';
import { canCrossSign, type ProviderConfig } from './providers/provider.ts';
import type { CaProviders } from './providers/providers.ts';
import { leavesUnder, nextLook, nextStep, type RotationView, rotationStatus } from './rotation.ts';
import { pullBackTimes } from './set-back.ts';
import type { Signer } from './sign.ts';
import {
  activeRoot,
  allRoots,
  type CaTables,
  type ConfigRow,
  ONLY,
  type RootRow,
  rootKey,
  rotationOf,
} from './tables.ts';
import { crossTemplate, intermediateTemplate } from './template.ts';
import { validateIntermediate } from './validate.ts';

export interface ManagerDeps {
  /** Writes as the datacenter's leader. */
  readonly store: Pick<Store, 'transact'>;
  readonly clock: Clock;
  readonly datacenter: string;
  readonly tables: CaTables;
  readonly keys: KeyStore;
  readonly signer: Signer;
  readonly providers: CaProviders;
  readonly inventory: Inventory;
  readonly initialConfig: ConfigRequest;
  /** Trust domain's UUID, when the operator chose it. */
  readonly clusterId: string | undefined;
  readonly knownDatacenters: () => readonly string[];
  readonly onStep: (step: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface ManagerOptions {
  readonly distributeBoundMs: number;
  readonly moveBoundMs: number;
  readonly minDrainMs: number;
}

/**
 * The primary's CA: makes roots, signs intermediates, and takes a rotation from step to step. Every step is one
 * commit, written before anything acts on it, so that a restart at any moment goes on from there.
 */
export class PrimaryManager {
  readonly #deps: ManagerDeps;
  readonly #options: ManagerOptions;
  readonly #mutex = new Mutex();
  /** Kept in memory only: a restart makes an old root stay a little longer. */
  readonly #clearSince = new Map<string, number>();

  constructor(deps: ManagerDeps, options: ManagerOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Makes the first root, once in the life of the store. */
  bootstrap(): Promise<void> {
    return this.#mutex.run(() => this.#bootstrap());
  }

  async #bootstrap(): Promise<void> {
    const { store, tables, initialConfig, clock } = this.#deps;
    if (activeRoot(tables) !== undefined) return;
    const clusterId = this.#deps.clusterId ?? newUuid();
    const wanted = this.#deps.providers.find(initialConfig.provider).configure(initialConfig.config);
    const root = await makeRoot(initialConfig.provider, wanted, clusterId, clock.now());
    const { changed } = await store.transact((tx) => {
      // another server was first
      if (tx.get(tables.config, ONLY) !== undefined || activeRoot(tables) !== undefined) return;
      this.#putConfig(tx, initialConfig);
      this.#deps.keys.put(tx, root.row.keyId, root.secret);
      tx.put(tables.roots, { ...root.row, state: 'active', createdAt: clock.now() });
    });
    if (changed) this.#deps.onStep('root created', { root: root.row.id });
  }

  /** Writes the configuration; when it asks for another key, a rotation starts. */
  setConfig(request: ConfigRequest): Promise<void> {
    return this.#mutex.run(async () => {
      const { store, tables, clock } = this.#deps;
      const wanted = this.#deps.providers.find(request.provider).configure(request.config);
      const active = this.#active();
      if (asksForOther(wanted, request.provider, active)) {
        await this.#startRotation(request, wanted, request.forceWithoutCrossSigning, false);
      } else {
        await store.transact((tx) => {
          this.#putConfig(tx, request);
          const row = tx.get(tables.roots, rootKey(active.id));
          if (row !== undefined && row.leafTtlMs < wanted.settings.leafTtlMs)
            tx.put(tables.roots, { ...row, leafTtlMs: wanted.settings.leafTtlMs });
        });
      }
      this.#deps.signer.refresh(clock.now());
      await this.#advance();
    });
  }

  /** Starts a rotation to a root with a new key. `force`: also while another rotation has not moved yet. */
  rotate(force: boolean): Promise<string> {
    return this.#mutex.run(async () => {
      const id = await this.#rotate(force);
      await this.#advance();
      return id;
    });
  }

  /** The clock was set: earlier times that now lie ahead are not waited for. */
  pullBack(): Promise<void> {
    return this.#mutex.run(async () => {
      const { store, tables, clock } = this.#deps;
      await store.transact((tx) => pullBackTimes(tx, tables, clock.now(), this.#options.distributeBoundMs));
      this.#clearSince.clear();
    });
  }

  /** Does every step that can be done now; returns when to look again. */
  advance(): Promise<number | undefined> {
    return this.#mutex.run(async () => {
      await this.#bootstrap();
      const due = this.plannedRotation();
      if (this.#isAhead()) await this.#rotate(true);
      else if (due !== undefined && due <= this.#deps.clock.now()) await this.#rotate(false);
      return this.#advance();
    });
  }

  /** True when a root that signs or is to sign was made while the clock was ahead: no one accepts it yet. */
  #isAhead(): boolean {
    const now = this.#deps.clock.now();
    return allRoots(this.#deps.tables).some((root) => root.state !== 'old' && root.generated && now < root.notBefore);
  }

  /** When the active root is replaced by plan: by the configured period, and never later than half of its life. */
  plannedRotation(): number | undefined {
    const { tables } = this.#deps;
    const root = activeRoot(tables);
    if (root === undefined || !root.generated || rotationOf(tables).phase !== 'idle') return undefined;
    const { rotationPeriodMs } = readSettings(this.config().config);
    if (rotationPeriodMs === 0) return undefined;
    return root.createdAt + Math.min(rotationPeriodMs, (root.notAfter - root.notBefore) / 2);
  }

  status(): RotationStatus {
    return rotationStatus(this.view());
  }

  view(): RotationView {
    const { tables, clock, inventory } = this.#deps;
    return {
      now: clock.now(),
      rotation: rotationOf(tables),
      roots: allRoots(tables),
      own: inventory.aggregate(),
      datacenters: tables.datacenters.list().map((row) => row.value),
      known: this.#deps.knownDatacenters(),
      issued: tables.issued.list().map((row) => row.value),
      moveBoundMs: this.#options.moveBoundMs,
      minDrainMs: this.#options.minDrainMs,
      clearSince: this.#clearSince,
    };
  }

  config(): ConfigRow {
    const row = this.#deps.tables.config.get(ONLY)?.value;
    if (row === undefined) throw new IsthmusError('unavailable', 'the CA is not initialized yet');
    return row;
  }

  /** Signs a secondary's intermediate under the active root. @param asking the datacenter of the caller */
  signIntermediate(csrPem: string, asking: string): Promise<{ certPem: string; rootId: string }> {
    return this.#mutex.run(async () => {
      const { store, tables, signer, clock } = this.#deps;
      const root = this.#active();
      const now = clock.now();
      const subject = validateIntermediate(csrPem, root.clusterId, asking, this.#deps.datacenter);
      const { datacenter } = subject;
      const { intermediateTtlMs } = readSettings(this.config().config);
      const issuer = signer.ofRoot(root);
      const signed = await issuer.signCa(intermediateTemplate(subject, root.clusterId, now, intermediateTtlMs));
      const serial = colonHex(signed.serial);
      await store.transact((tx) => {
        for (const { value, key } of tables.issued.list()) if (value.notAfter < now) tx.delete(tables.issued, key);
        tx.put(tables.issued, { datacenter, rootId: root.id, serial, notAfter: signed.notAfter });
      });
      this.#deps.onStep('intermediate signed', { datacenter, root: root.id, serial });
      return { certPem: signed.pem, rootId: root.id };
    });
  }

  #rotate(force: boolean): Promise<string> {
    const row = this.config();
    return this.#startRotation(
      row,
      this.#deps.providers.find(row.provider).configure(row.config),
      row.forceWithoutCrossSigning,
      force,
    );
  }

  async #startRotation(
    request: ConfigRequest,
    wanted: ProviderConfig,
    withoutCrossSigning: boolean,
    force: boolean,
  ): Promise<string> {
    const { store, tables, clock, keys } = this.#deps;
    const { phase, newRootId } = rotationOf(tables);
    if (!force && (phase === 'distributing' || phase === 'moving'))
      throw new IsthmusError(
        'rejected',
        `a rotation to the root ${newRootId} is under way (${phase}): wait until it has moved`,
      );
    const old = this.#active();
    const root = await makeRoot(request.provider, wanted, old.clusterId, clock.now());
    if (tables.roots.get(rootKey(root.row.id)) !== undefined)
      throw new IsthmusError('rejected', `the root ${root.row.id} is already in use or still being drained`);
    const crossSigned = await this.#crossSign(old, root.certificate, withoutCrossSigning);
    const now = clock.now();
    await store.transact((tx) => {
      if (tx.get(tables.roots, rootKey(old.id))?.state !== 'active')
        throw new IsthmusError('conflict', 'another rotation has begun meanwhile');
      for (const { value } of tables.roots.list()) if (value.state === 'next') this.#drop(tx, value);
      this.#putConfig(tx, request);
      keys.put(tx, root.row.keyId, root.secret);
      tx.put(tables.roots, { ...root.row, crossSigned, createdAt: now });
      tx.put(tables.rotation, {
        phase: 'distributing',
        oldRootId: old.id,
        newRootId: root.row.id,
        startedAt: now,
        distributeUntil: now + this.#options.distributeBoundMs,
      });
    });
    this.#deps.onStep('rotation started', { from: old.id, to: root.row.id });
    return root.row.id;
  }

  /** The new root below the active one, and what the active one itself still needs below an earlier one. */
  async #crossSign(old: RootRow, root: Certificate, without: boolean): Promise<string[]> {
    const { signer, clock } = this.#deps;
    const issuer = signer.ofRoot(old);
    if (!canCrossSign(issuer)) {
      if (without) return [];
      throw new IsthmusError(
        'rejected',
        'the present provider cannot cross-sign: set ForceWithoutCrossSigning to go on',
      );
    }
    const signed = await issuer.crossSign(root, crossTemplate(clock.now()));
    return [signed.pem, ...old.crossSigned.slice(0, 1)];
  }

  async #advance(): Promise<number | undefined> {
    while (rotationOf(this.#deps.tables).phase !== 'idle') {
      const view = this.view();
      this.#noteClear(view);
      const step = nextStep(view);
      if (step.type === 'wait') return nextLook(view);
      if (step.type === 'activate') await this.#activate();
      else if (step.type === 'drain') await this.#setPhase('moving', 'draining');
      else await this.#prune(step.rootIds);
    }
    return this.plannedRotation();
  }

  #noteClear(view: RotationView): void {
    for (const root of view.roots) {
      if (root.state !== 'old' || leavesUnder(view, root).length > 0) this.#clearSince.delete(root.id);
      else if (!this.#clearSince.has(root.id)) this.#clearSince.set(root.id, view.now);
    }
    for (const id of this.#clearSince.keys())
      if (!view.roots.some((root) => root.id === id)) this.#clearSince.delete(id);
  }

  async #activate(): Promise<void> {
    const { store, tables, keys, clock, signer } = this.#deps;
    const now = clock.now();
    await store.transact((tx) => {
      const rotation = tx.get(tables.rotation, ONLY);
      const next = rotation === undefined ? undefined : tx.get(tables.roots, rootKey(rotation.newRootId));
      const old = rotation === undefined ? undefined : tx.get(tables.roots, rootKey(rotation.oldRootId));
      if (rotation?.phase !== 'distributing' || next === undefined || old === undefined) return;
      tx.put(tables.roots, { ...old, state: 'old', supersededAt: now });
      tx.put(tables.roots, { ...next, state: 'active' });
      tx.put(tables.rotation, { ...rotation, phase: 'moving' });
      if (old.keyId !== next.keyId) keys.remove(tx, old.keyId); // it signs nothing any more
    });
    signer.refresh(now);
    this.#deps.onStep('root activated', { root: rotationOf(tables).newRootId });
  }

  async #setPhase(from: 'moving', to: 'draining'): Promise<void> {
    const { store, tables } = this.#deps;
    await store.transact((tx) => {
      const rotation = tx.get(tables.rotation, ONLY);
      if (rotation?.phase === from) tx.put(tables.rotation, { ...rotation, phase: to });
    });
    this.#deps.onStep('leaves have moved', { root: rotationOf(tables).newRootId });
  }

  /** Removes old roots, and cross-signatures whose issuer is gone. */
  async #prune(rootIds: readonly string[]): Promise<void> {
    const { store, tables } = this.#deps;
    await store.transact((tx) => {
      const kept: RootRow[] = [];
      for (const { value } of tables.roots.list()) {
        const row = tx.get(tables.roots, rootKey(value.id));
        if (row === undefined) continue;
        if (rootIds.includes(row.id) && row.state === 'old') this.#drop(tx, row);
        else kept.push(row);
      }
      const subjects = kept.map((row) => parseCertificate(row.pem).subject);
      for (const row of kept) {
        const crossSigned = row.crossSigned.filter((pem) => {
          const { issuer } = parseCertificate(pem);
          return subjects.some((subject) => subject.equals(issuer));
        });
        if (crossSigned.length !== row.crossSigned.length) tx.put(tables.roots, { ...row, crossSigned });
      }
      const rotation = tx.get(tables.rotation, ONLY);
      if (rotation?.phase === 'draining' && kept.every((row) => row.state === 'active'))
        tx.put(tables.rotation, { ...rotation, phase: 'idle' });
    });
    for (const root of rootIds) this.#deps.onStep('old root removed', { root });
  }

  #drop(tx: Tx, row: RootRow): void {
    const { tables, keys } = this.#deps;
    tx.delete(tables.roots, rootKey(row.id));
    const shared = tables.roots.list().some(({ value }) => value.id !== row.id && value.keyId === row.keyId);
    if (row.keyId !== '' && !shared) keys.remove(tx, row.keyId);
    for (const { value, key } of tables.issued.list()) if (value.rootId === row.id) tx.delete(tables.issued, key);
  }

  #active(): RootRow {
    const root = activeRoot(this.#deps.tables);
    if (root === undefined) throw new IsthmusError('unavailable', 'the CA is not initialized yet');
    return root;
  }

  #putConfig(tx: Tx, request: ConfigRequest): void {
    tx.put(this.#deps.tables.config, {
      provider: request.provider,
      config: publicConfig(request.config),
      forceWithoutCrossSigning: request.forceWithoutCrossSigning,
    });
  }
}
