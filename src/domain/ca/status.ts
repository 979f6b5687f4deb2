import type { RotationStatus } from '../../model/ca.ts';
import type { CaStatus } from '../../model/requests.ts';
import { trustDomainOf } from '../../model/spiffe.ts';
import type { Inventory } from './inventory.ts';
import { rotationStatus } from './rotation.ts';
import { activeRoot, allRoots, type CaTables, ONLY, type RotationRow } from './tables.ts';

export interface StatusFacts {
  readonly datacenter: string;
  readonly tables: CaTables;
  readonly now: number;
  /** Why nothing can be signed; '' when it can. */
  readonly blocker: string;
  /** Why the provider can't do its work; '' when it can. */
  readonly providerProblem: string;
  readonly lastRenewalError: string;
  /** Of the intermediate; of the root in a primary. */
  readonly renewsAt: number | undefined;
}

/** GET /v1/connect/ca/status */
export function caStatus(facts: StatusFacts): CaStatus {
  const { tables, now } = facts;
  const root = activeRoot(tables);
  const intermediate = tables.intermediate.get(ONLY)?.value;
  const rootLeft = root === undefined ? 0 : secondsUntil(root.notAfter, now);
  const signingLeft = intermediate === undefined ? rootLeft : secondsUntil(intermediate.notAfter, now);
  const renewsIn = facts.renewsAt === undefined ? undefined : secondsUntil(facts.renewsAt, now);
  return {
    Datacenter: facts.datacenter,
    Provider: tables.config.get(ONLY)?.value.provider ?? '',
    ...state(facts, signingLeft),
    TrustDomain: root === undefined ? '' : trustDomainOf(root.clusterId),
    ActiveRootID: root?.id ?? '',
    RootExpiresIn: rootLeft,
    IntermediateExpiresIn: signingLeft,
    IntermediateRenewsIn: renewsIn === undefined || intermediate === undefined ? signingLeft : renewsIn,
    ...(renewsIn !== undefined && intermediate === undefined && { RootRotatesIn: renewsIn }),
    LastRenewalError: facts.lastRenewalError,
  };
}

function state(facts: StatusFacts, signingLeft: number): Pick<CaStatus, 'State' | 'Reason'> {
  if (facts.blocker !== '') return { State: 'uninitialized', Reason: facts.blocker };
  if (signingLeft === 0) return { State: 'degraded', Reason: 'the certificate that signs leaves has expired' };
  if (facts.providerProblem !== '') return { State: 'degraded', Reason: facts.providerProblem };
  if (facts.lastRenewalError !== '')
    return { State: 'degraded', Reason: `the last renewal failed: ${facts.lastRenewalError}` };
  if (facts.tables.roots.size > 1) return { State: 'rotating', Reason: 'a root rotation is under way' };
  return { State: 'ready', Reason: '' };
}

/** A rotation as a secondary sees it: its own datacenter, and the phase that its roots tell. */
export function secondaryRotation(tables: CaTables, inventory: Inventory, now: number): RotationStatus {
  const roots = allRoots(tables);
  const active = activeRoot(tables)?.id ?? '';
  const next = roots.find((root) => root.state === 'next');
  const old = roots.find((root) => root.state === 'old');
  const rotation: RotationRow = {
    phase: next !== undefined ? 'distributing' : old !== undefined ? 'draining' : 'idle',
    oldRootId: next !== undefined ? active : (old?.id ?? ''),
    newRootId: next?.id ?? (old === undefined ? '' : active),
    startedAt: roots.length > 1 ? Math.max(...roots.map((root) => root.createdAt)) : 0,
    distributeUntil: 0,
  };
  const own = inventory.aggregate();
  return rotationStatus({
    now,
    rotation,
    roots,
    own,
    datacenters: [],
    known: [],
    issued: [],
    moveBoundMs: 0,
    minDrainMs: 0,
    clearSince: new Map(),
  });
}

function secondsUntil(ms: number, now: number): number {
  return Math.max(0, Math.floor((ms - now) / 1_000));
}
