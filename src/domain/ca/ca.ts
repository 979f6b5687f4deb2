import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import type { DatacenterRotation, HolderReport, IssuedCert, RotationPhase } from '../../model/ca.ts';
import { canonicalKeys, DEFAULT_CONFIG, readConfigRequest, readSettings } from '../../model/ca-config.ts';
import type { CaStatus } from '../../model/requests.ts';
import { trustDomainOf } from '../../model/spiffe.ts';
import type { OwnCsrs } from '../../pki/csr.ts';
import { colonHex } from '../../pki/keys.ts';
import type { Leadership } from '../../store/leadership.ts';
import type { Store } from '../../store/store.ts';
import type { Logger, Metrics } from '../../telemetry/types.ts';
import { recordDatacenter } from './datacenters.ts';
import { Inventory, isoSeconds } from './inventory.ts';
import { createKeyStore, type KeyStore } from './keystore.ts';
import { SignatureLimiter } from './limiter.ts';
import { PrimaryManager } from './manager.ts';
import { createMeters } from './metrics.ts';
import type { CaProviders } from './providers/providers.ts';
import { type CaReads, createReads } from './reads.ts';
import { checkDatacenterReport, checkHolderReport } from './reports.ts';
import { Rotator } from './rotator.ts';
import { type PrimaryCa, SecondaryManager } from './secondary.ts';
import { Signer } from './sign.ts';
import { caStatus, secondaryRotation } from './status.ts';
import { declareTables, ONLY, rotationOf } from './tables.ts';
import { leafTemplate } from './template.ts';
import { validateLeaf } from './validate.ts';

export type { PrimaryCa } from './secondary.ts';
export { KEY_TABLE } from './tables.ts';

export interface CaDeps {
  readonly store: Store;
  /** One server of the datacenter makes roots, rotates, and obtains the intermediate; each of them signs leaves. */
  readonly leadership: Pick<Leadership, 'leading' | 'leader' | 'fenced' | 'duty'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly providers: CaProviders;
  readonly datacenter: string;
  /** Equal to `datacenter` in the primary. */
  readonly primaryDatacenter: string;
  /** Used once, when the store holds no CA yet. */
  readonly initialConfig?: {
    /** Default "consul". */
    readonly provider?: string;
    readonly config?: Readonly<Record<string, unknown>>;
    /** The trust domain's UUID; made up when absent. */
    readonly clusterId?: string;
  };
  /** 32 bytes; CA keys are encrypted at rest with it. */
  readonly keyEncryptionKey?: Buffer;
  /** In secondaries: the way to the primary. */
  readonly primary?: PrimaryCa;
  /** Datacenters that are federated now; the primary waits for them in a rotation. */
  readonly knownDatacenters?: () => readonly string[];
  readonly random?: () => number;
  /** Requests that an agent in the same process has made. */
  readonly ownCsrs?: OwnCsrs;
}

export interface CaOptions {
  /** How long a new root waits for verifiers that have not confirmed it, milliseconds. Default 30,000. */
  readonly distributeBoundMs?: number;
  /** How long the moving of leaves is waited for before what is left counts as draining. Default 300,000. */
  readonly moveBoundMs?: number;
  /** Stay of an old root after its last leaf is gone. Default 10,000. */
  readonly minDrainMs?: number;
  /**
   * Silence after which a holder does not hold up a rotation any more. Default 300,000; holders report every minute.
   */
  readonly holderTtlMs?: number;
}

export interface CaWrites {
  readonly 'ca.setConfig': Ca['setConfig'];
  readonly 'ca.rotate': Ca['rotate'];
  readonly 'ca.signLeaf': Ca['signLeaf'];
  readonly 'ca.signIntermediate': Ca['signIntermediate'];
  readonly 'ca.reportHolder': Ca['reportHolder'];
  readonly 'ca.reportDatacenter': Ca['reportDatacenter'];
}

/** A datacenter's certificate authority. */
export interface Ca {
  /** Start after the store. Never waits for the primary. */
  readonly service: Service;
  readonly reads: CaReads;
  readonly writes: CaWrites;
  /** Signs a leaf for the service or agent named in the request, of this datacenter. */
  signLeaf(args: { readonly csr: string; readonly expires?: number }): Promise<IssuedCert>;
  /** Primary only: signs a secondary's intermediate. */
  signIntermediate(args: {
    readonly csr: string;
    readonly datacenter: string;
  }): Promise<{ readonly certPem: string; readonly rootId: string }>;
  /** Primary only; a change of key or provider starts a rotation. */
  setConfig(args: { readonly config: unknown }): Promise<null>;
  /** Primary only: starts a rotation to a root with a new key. */
  rotate(args: { readonly force?: boolean }): Promise<{ readonly NewRootID: string }>;
  reportHolder(report: HolderReport): Promise<null>;
  /** Primary only. */
  reportDatacenter(report: DatacenterRotation): Promise<null>;
  /** `<uuid>.consul`; undefined while it is not known. */
  trustDomain(): string | undefined;
  status(): CaStatus;
  /** How private keys are kept in the store, and are put into it by a snapshot. */
  readonly keys: Pick<KeyStore, 'atRest' | 'rows'>;
}

const MINUTE = 60_000;
/** A server signs for this long without its store: as long as an old root stays at least after its last known leaf. */
const MAX_BLIND_MS = 10_000;

/** Declares its tables, so create it before the store is started. */
export function createCa(deps: CaDeps, options: CaOptions = {}): Ca {
  const { store, clock, datacenter, primaryDatacenter, leadership } = deps;
  const isPrimary = datacenter === primaryDatacenter;
  const log = deps.log.child({ component: 'ca' });
  const now = (): number => clock.now();
  const tables = declareTables(store);
  const keys = createKeyStore(store, tables, deps.keyEncryptionKey);
  const signer = new Signer(tables, keys, deps.providers, { datacenter, isPrimary });
  const inventory = new Inventory(
    { store, tables, datacenter, now },
    { holderTtlMs: options.holderTtlMs ?? 5 * MINUTE },
  );
  const limiter = new SignatureLimiter(clock);
  const told = new Map<string, string>();
  const onStep = (step: string, fields: Readonly<Record<string, unknown>>): void => {
    told.clear();
    log.info(step, fields);
  };
  const onFailure = (what: string, error: IsthmusError, retryInMs?: number): void => {
    if (RENEWALS.has(what)) meters.failures.add();
    const fields = { error: error.message, code: error.code, ...(retryInMs === undefined ? {} : { retryInMs }) };
    // The same failure again and again is logged once, until something has worked.
    if (told.get(what) === error.message) log.debug(`${what} failed again`, fields);
    else log.warn(`${what} failed`, fields);
    told.set(what, error.message);
  };
  const manager = new PrimaryManager(
    {
      store: leadership.fenced,
      clock,
      datacenter,
      tables,
      keys,
      signer,
      providers: deps.providers,
      inventory,
      initialConfig: {
        provider: deps.initialConfig?.provider ?? 'consul',
        config: { ...DEFAULT_CONFIG, ...canonicalKeys(deps.initialConfig?.config ?? {}) },
        forceWithoutCrossSigning: false,
      },
      clusterId: deps.initialConfig?.clusterId,
      knownDatacenters: deps.knownDatacenters ?? (() => []),
      onStep,
    },
    {
      distributeBoundMs: options.distributeBoundMs ?? 30_000,
      moveBoundMs: options.moveBoundMs ?? 5 * MINUTE,
      minDrainMs: options.minDrainMs ?? 10_000,
    },
  );
  const secondary =
    isPrimary || deps.primary === undefined
      ? undefined
      : new SecondaryManager({
          store: leadership.fenced,
          clock,
          tables,
          keys,
          providers: deps.providers,
          inventory,
          primary: deps.primary,
          datacenter,
          primaryDatacenter,
          random: deps.random ?? Math.random,
          onStep,
          onFailure,
        });
  const rotator = new Rotator({
    clock,
    inventory,
    tables,
    store: leadership.fenced,
    signer,
    ...(isPrimary ? { manager } : {}),
  });

  const blocker = (): string => {
    try {
      if (signer.current !== undefined) return '';
    } catch (error) {
      return IsthmusError.from(error).message;
    }
    if (!leadership.leading) return waitingForLeader(leadership.leader()?.node);
    if (isPrimary) return 'the first root has not been made yet';
    return secondary?.blocker ?? `no way to ${primaryDatacenter} is configured`;
  };
  const status = (): CaStatus =>
    caStatus({
      datacenter,
      tables,
      now: now(),
      blocker: blocker(),
      providerProblem: deps.providers.problem(tables.config.get(ONLY)?.value.provider ?? ''),
      lastRenewalError: isPrimary ? rotator.lastError : (secondary?.lastRenewalError ?? ''),
      renewsAt: isPrimary ? manager.plannedRotation() : secondary?.renewsAt,
    });
  const phase = (): RotationPhase =>
    isPrimary ? rotationOf(tables).phase : secondaryRotation(tables, inventory, now()).Phase;
  const meters = createMeters(deps.metrics, { status, phase, waiting: () => limiter.waiting });
  const primaryOnly = (what: string): void => {
    if (!isPrimary)
      throw new IsthmusError('rejected', `${what} is done in the primary datacenter ${primaryDatacenter}`);
  };

  let leafTtl = { revision: -1, ms: 0, perSecond: 0 };
  const leafSettings = (): { readonly ms: number; readonly perSecond: number } => {
    const row = tables.config.get(ONLY);
    const revision = row?.modRevision ?? 0;
    if (leafTtl.revision !== revision) {
      const settings = readSettings(row?.value.config ?? {});
      leafTtl = { revision, ms: settings.leafTtlMs, perSecond: settings.csrMaxPerSecond };
    }
    return leafTtl;
  };

  let unhook = (): void => undefined;
  let endJumps = (): void => undefined;
  let endDuty = async (): Promise<void> => undefined;

  /** A root may have been replaced meanwhile: no agent would trust what is signed under the old one then. */
  function refuseWhenBlind(): void {
    const { connected, lastMs } = store.contact();
    if (connected || lastMs <= MAX_BLIND_MS) return;
    throw new IsthmusError(
      'unavailable',
      `this server has not reached its store for ${Math.floor(lastMs / 1_000)} s and signs nothing until it does`,
    );
  }

  /** Another server, which has the key for that, may have encrypted them. */
  function tellUnreadableKey(): void {
    try {
      void signer.current;
    } catch (error) {
      onFailure('reading the CA keys', IsthmusError.from(error));
    }
  }

  async function signLeaf(csrPem: string, expires = 0): Promise<IssuedCert> {
    const at = now();
    refuseWhenBlind();
    let authority = signer.current;
    if (authority !== undefined && (at > authority.goodUntil || at < authority.goodFrom || authority.problem !== '')) {
      signer.refresh(at);
      authority = signer.current;
    }
    if (authority?.problem) throw new IsthmusError('unavailable', authority.problem);
    if (authority === undefined)
      throw new IsthmusError('unavailable', `CA is uninitialized and unable to sign certificates yet: ${blocker()}`);
    const { root, issuer, chain } = authority;
    const { csr, identity } = validateLeaf(csrPem, root.clusterId, datacenter, deps.ownCsrs);
    const settings = leafSettings();
    if (settings.perSecond > 0) limiter.take(settings.perSecond, { id: csr.spki.toString('base64'), expires });
    const template = leafTemplate(csr, identity, at, settings.ms);
    const signed = await issuer.signLeaf(template);
    meters.leafSigned.add(1, { kind: identity.kind });
    const index = store.revision;
    return {
      SerialNumber: colonHex(signed.serial),
      CertPEM: signed.pem + chain,
      Service: identity.kind === 'service' ? identity.service : '',
      ServiceURI: template.uri,
      ValidAfter: isoSeconds(signed.notBefore),
      ValidBefore: isoSeconds(signed.notAfter),
      RootID: root.id,
      CreateIndex: index,
      ModifyIndex: index,
    };
  }

  const ca: Ca = {
    service: {
      name: 'ca',
      async start(signal) {
        await deps.providers.start(signal);
        const sealed = await keys.sealAll();
        if (sealed > 0) log.info('CA keys encrypted at rest', { count: sealed });
        inventory.started();
        if (isPrimary && leadership.leading) await manager.bootstrap();
        signer.refresh(now());
        if (tables.config.get(ONLY) !== undefined) void signer.current; // an unreadable key is reported at the start
        unhook = store.onCommit((commit) => {
          if (commit.changes.some((change) => SIGNING_TABLES.has(change.table))) {
            signer.refresh(now());
            tellUnreadableKey();
          }
          if (commit.changes.some((change) => ROTATION_TABLES.has(change.table))) {
            rotator.changed();
            secondary?.changed();
          }
        });
        endJumps = clock.onJump(() => {
          signer.refresh(now());
          rotator.planAnew();
          secondary?.planAnew();
        });
        endDuty = leadership.duty(
          'ca',
          (tasks) => {
            rotator.start(tasks);
            secondary?.start(tasks);
          },
          onFailure,
        );
      },
      async stop() {
        unhook();
        endJumps();
        await endDuty();
        await deps.providers.stop();
      },
    },
    reads: createReads({
      tables,
      now,
      status,
      blocker,
      rotation: () => (isPrimary ? manager.status() : secondaryRotation(tables, inventory, now())),
    }),
    async signLeaf({ csr, expires }) {
      try {
        return await signLeaf(csr, expires);
      } catch (error) {
        meters.leafRefused.add(1, { code: IsthmusError.from(error).code });
        throw error;
      }
    },
    async signIntermediate(args) {
      primaryOnly('signing an intermediate');
      const signed = await manager.signIntermediate(args.csr, args.datacenter);
      meters.intermediateSigned.add();
      return signed;
    },
    async setConfig({ config }) {
      primaryOnly('changing the CA configuration');
      await manager.setConfig(readConfigRequest(config));
      return null;
    },
    async rotate({ force }) {
      primaryOnly('a rotation');
      return { NewRootID: await manager.rotate(force ?? false) };
    },
    async reportHolder(report) {
      await inventory.record(checkHolderReport(report));
      return null;
    },
    async reportDatacenter(report) {
      primaryOnly('collecting reports of datacenters');
      await recordDatacenter(store, tables, checkDatacenterReport(report), now());
      return null;
    },
    trustDomain() {
      const clusterId = tables.roots.list()[0]?.value.clusterId;
      return clusterId === undefined ? undefined : trustDomainOf(clusterId);
    },
    status,
    keys,
    writes: {
      'ca.setConfig': (args) => ca.setConfig(args),
      'ca.rotate': (args) => ca.rotate(args),
      'ca.signLeaf': (args) => ca.signLeaf(args),
      'ca.signIntermediate': (args) => ca.signIntermediate(args),
      'ca.reportHolder': (args) => ca.reportHolder(args),
      'ca.reportDatacenter': (args) => ca.reportDatacenter(args),
    },
  };
  return ca;
}

function waitingForLeader(node: string | undefined): string {
  return node === undefined
    ? 'no server leads the datacenter'
    : `waiting for node ${node}, which leads, to set the CA up`;
}

/** Failures that bring a certificate nearer to its end. */
const RENEWALS: ReadonlySet<string> = new Set(['renewing the intermediate', 'ca rotation']);
const SIGNING_TABLES: ReadonlySet<string> = new Set(['ca-roots', 'ca-intermediate', 'ca-keys']);
const ROTATION_TABLES: ReadonlySet<string> = new Set([
  'ca-roots',
  'ca-rotation',
  'ca-config',
  'ca-holders',
  'ca-datacenters',
  'ca-issued',
]);
