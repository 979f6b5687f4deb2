import type { HealthCheck } from '../../model/catalog.ts';
import type { CheckType, Source } from '../../model/registration/definitions.ts';
import type { ServiceForm } from '../../model/service-form.ts';

export interface LocalService {
  readonly form: ServiceForm;
  /** ACL token that the catalog is written with; '' is the agent's own. */
  readonly token: string;
  readonly source: Source;
  /** The service that this sidecar was registered inside of, and goes with. */
  readonly sidecarOf?: string;
  /** The tags of its definition, while the form has those that others gave it in the catalog. */
  readonly ownTags?: readonly string[];
}

/** A check as it goes to the catalog, without the node's name. */
export type CheckForm = Omit<HealthCheck, 'Node' | 'Definition' | 'CreateIndex' | 'ModifyIndex'>;

export interface LocalCheck {
  readonly form: CheckForm;
  /** How it is carried out; absent for maintenance. */
  readonly type?: CheckType;
  readonly token: string;
  readonly source: Source;
  /** Not carried out since the agent started: until then, what the catalog knows of it holds. */
  readonly unproven?: true;
  /** Since when it has been critical without a break, milliseconds; absent when it is not. */
  readonly criticalSince?: number;
}

/**
 * - service, check: added, changed or removed
 * - status: a check's status changed
 * - output: a check's output alone changed
 */
export interface LocalChange {
  readonly kind: 'service' | 'check' | 'status' | 'output';
  readonly id: string;
  /** The service that it is about; '' for a check of the node. */
  readonly serviceId: string;
}

export type ChangeListener = (change: LocalChange) => void;

/** The services and checks of this agent, in memory. Reports every change to its listeners. */
export class Registry {
  readonly #services = new Map<string, LocalService>();
  readonly #checks = new Map<string, LocalCheck>();
  /** IDs of checks by service; '' the node's. */
  readonly #checkIds = new Map<string, Set<string>>();
  readonly #listeners = new Set<ChangeListener>();

  /** Returns the function that ends it. */
  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  service(id: string): LocalService | undefined {
    return this.#services.get(id);
  }

  /** By ID. */
  services(): readonly LocalService[] {
    return [...this.#services.values()].sort((a, b) => compare(a.form.ID, b.form.ID));
  }

  check(id: string): LocalCheck | undefined {
    return this.#checks.get(id);
  }

  /** By ID. */
  checks(): readonly LocalCheck[] {
    return [...this.#checks.values()].sort((a, b) => compare(a.form.CheckID, b.form.CheckID));
  }

  /** Checks of a service by ID; '' those of the node. Cost follows the answer. */
  checksOf(serviceId: string): readonly LocalCheck[] {
    const ids = this.#checkIds.get(serviceId);
    return ids === undefined ? [] : [...ids].sort(compare).map((id) => this.#checks.get(id) as LocalCheck);
  }

  /** The port of every service but `except`, in no order. */
  *portsInUse(except: string): Iterable<number> {
    for (const { form } of this.#services.values()) if (form.ID !== except) yield form.Port;
  }

  putService(service: LocalService): void {
    const { ID: id } = service.form;
    this.#services.set(id, service);
    this.#report({ kind: 'service', id, serviceId: id });
  }

  removeService(id: string): boolean {
    const removed = this.#services.delete(id);
    if (removed) this.#report({ kind: 'service', id, serviceId: id });
    return removed;
  }

  putCheck(check: LocalCheck): void {
    const { CheckID: id, ServiceID: serviceId } = check.form;
    if ((this.#checks.get(id)?.form.ServiceID ?? serviceId) !== serviceId) this.removeCheck(id);
    this.#checks.set(id, check);
    const ids = this.#checkIds.get(serviceId);
    if (ids === undefined) this.#checkIds.set(serviceId, new Set([id]));
    else ids.add(id);
    this.#report({ kind: 'check', id, serviceId });
  }

  removeCheck(id: string): boolean {
    const check = this.#checks.get(id);
    if (check === undefined) return false;
    const { ServiceID: serviceId } = check.form;
    this.#checks.delete(id);
    const ids = this.#checkIds.get(serviceId);
    ids?.delete(id);
    if (ids?.size === 0) this.#checkIds.delete(serviceId);
    this.#report({ kind: 'check', id, serviceId });
    return true;
  }

  /** What a run of the check found. Nothing happens when that is what is known. */
  updateCheck(id: string, status: string, output: string, now: number): void {
    const check = this.#checks.get(id);
    if (check === undefined || (check.form.Status === status && check.form.Output === output)) return;
    const { criticalSince, unproven: _proven, ...rest } = check;
    this.#checks.set(id, {
      ...rest,
      form: { ...check.form, Status: status, Output: output },
      ...(status === 'critical' ? { criticalSince: criticalSince ?? now } : {}),
    });
    this.#report({ kind: check.form.Status === status ? 'output' : 'status', id, serviceId: check.form.ServiceID });
  }

  #report(change: LocalChange): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
