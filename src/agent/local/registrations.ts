import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { checkKind } from '../../model/registration/check-rules.ts';
import type { CheckDefinition, CheckType, Source } from '../../model/registration/definitions.ts';
import { sidecarId } from '../../model/registration/service-rules.ts';
import type { ServiceForm } from '../../model/service-form.ts';
import type { CheckRunners } from './check-runners.ts';
import type { RegistrationFiles, SavedCheck, SavedService, SavedTtl } from './files.ts';
import { NODE_MAINTENANCE, SERVICE_MAINTENANCE_PREFIX } from './forms.ts';
import type { CheckForm, LocalCheck, LocalService, Registry } from './registry.ts';

export interface RegistrationsDeps {
  readonly registry: Registry;
  readonly runners: CheckRunners;
  readonly files: RegistrationFiles;
  readonly clock: Clock;
}

export interface NewService {
  readonly form: ServiceForm;
  readonly checks: readonly CheckType[];
  readonly token: string;
  readonly source: Source;
  readonly sidecarOf?: string;
  /** Removes checks of the service that are not among `checks`. */
  readonly replaceChecks: boolean;
}

/**
 * Adds and removes services and checks: registry, runners and files together. What is kept is on disk once these
 * resolve.
 */
export class Registrations {
  readonly #deps: RegistrationsDeps;
  #ttls: ReadonlyMap<string, SavedTtl> = new Map();

  constructor(deps: RegistrationsDeps) {
    this.#deps = deps;
  }

  /** Returns the IDs of its checks. */
  async addService(service: NewService): Promise<ReadonlySet<string>> {
    const { registry, files } = this.#deps;
    const { token, source, sidecarOf } = service;
    const { form, ownTags } = withOverriddenTags(service, registry.service(service.form.ID));
    const local: LocalService = {
      form,
      token,
      source,
      ...(sidecarOf === undefined ? {} : { sidecarOf }),
      ...(ownTags === undefined ? {} : { ownTags }),
    };
    const saved: SavedService = { form: service.form, token, ...(sidecarOf === undefined ? {} : { sidecarOf }) };
    if (!isDeepStrictEqual(registry.service(form.ID), local)) registry.putService(local);
    const writes = [source === 'api' ? files.saveService(saved) : files.removeService(form.ID)];
    const ids = new Set<string>();
    for (const [index, type] of service.checks.entries()) {
      const check = newServiceCheck(form, type, index, service.checks.length);
      ids.add(check.CheckID);
      writes.push(this.addCheck({ form: check, type, token: type.Token || token, source }, true));
    }
    for (const check of registry.checksOf(form.ID)) {
      const id = check.form.CheckID;
      if (ids.has(id)) continue;
      if (service.replaceChecks && check.type !== undefined) writes.push(this.removeCheck(id));
      else if (check.form.ServiceName !== form.Service || !isDeepStrictEqual(check.form.ServiceTags, form.Tags))
        registry.putCheck({ ...check, form: { ...check.form, ServiceName: form.Service, ServiceTags: form.Tags } });
    }
    await Promise.all(writes);
    return ids;
  }

  /** @param keepStatus what is known of a check with the same ID stays, and it goes on when nothing changed in it. */
  async addCheck(check: LocalCheck, keepStatus: boolean): Promise<void> {
    const { registry, runners, files, clock } = this.#deps;
    const { CheckID: id } = check.form;
    const known = registry.check(id);
    const ttl = known === undefined ? this.#ttls.get(id) : undefined;
    const ttlLeft = ttl === undefined ? 0 : Math.min(ttl.expires - clock.now(), check.type?.TTL ?? 0);
    const restored = ttl !== undefined && ttlLeft > 0;
    const form: CheckForm = {
      ...check.form,
      ...(keepStatus && known !== undefined ? { Status: known.form.Status, Output: known.form.Output } : {}),
      ...(restored ? { Status: ttl.status, Output: ttl.output } : {}),
    };
    const since = known?.criticalSince;
    const unproven = known === undefined && !restored && startsUnproven(check);
    const { unproven: _asked, ...given } = check;
    const local: LocalCheck = {
      ...given,
      form,
      ...(form.Status === 'critical' ? { criticalSince: since ?? clock.steady() } : {}),
      ...(unproven ? { unproven } : {}),
    };
    if (!isDeepStrictEqual(known, local)) registry.putCheck(local);
    const goesOn =
      keepStatus &&
      known?.type !== undefined &&
      isDeepStrictEqual(known.type, check.type) &&
      (check.source === 'file' || checkKind(known.type) !== 'ttl');
    if (!goesOn) runners.start(local, restored ? ttlLeft : undefined);
    const saved: SavedCheck = {
      form,
      token: check.token,
      ...(check.type === undefined ? {} : { type: check.type }),
    };
    await (check.source === 'api' ? files.saveCheck(saved) : files.forgetCheck(id));
  }

  /** Removes a service with its checks and its sidecar; false when there is none. */
  async removeService(id: string): Promise<boolean> {
    const { registry, files } = this.#deps;
    if (registry.service(id) === undefined) return false;
    registry.removeService(id);
    const writes: Promise<unknown>[] = [files.removeService(id)];
    for (const check of registry.checksOf(id)) writes.push(this.removeCheck(check.form.CheckID));
    if (registry.service(sidecarId(id))?.sidecarOf === id) writes.push(this.removeService(sidecarId(id)));
    await Promise.all(writes);
    return true;
  }

  async removeCheck(id: string): Promise<void> {
    const { registry, runners, files } = this.#deps;
    runners.stop(id);
    if (registry.removeCheck(id)) await files.removeCheck(id);
  }

  async setMaintenance(
    service: LocalService | undefined,
    enable: boolean,
    reason: string,
    token: string,
  ): Promise<void> {
    const id = service === undefined ? NODE_MAINTENANCE : `${SERVICE_MAINTENANCE_PREFIX}${service.form.ID}`;
    if (!enable) {
      await this.removeCheck(id);
      return;
    }
    if (this.#deps.registry.check(id) !== undefined) return;
    const what = service === undefined ? 'node' : 'service';
    const form: CheckForm = {
      CheckID: id,
      Name: service === undefined ? 'Node Maintenance Mode' : 'Service Maintenance Mode',
      Status: 'critical',
      Notes:
        reason ||
        `Maintenance mode is enabled for this ${what}, but no reason was provided. This is a default message.`,
      Output: '',
      ServiceID: service?.form.ID ?? '',
      ServiceName: service?.form.Service ?? '',
      ServiceTags: service?.form.Tags ?? null,
      Type: 'maintenance',
    };
    await this.addCheck({ form, token, source: 'api' }, false);
  }

  /**
   * Takes up what was kept, but for what is registered already; statuses start as critical unless a TTL still holds.
   */
  async restore(): Promise<void> {
    const { registry, files } = this.#deps;
    const saved = await files.load();
    this.#ttls = saved.ttls;
    for (const { form, token, sidecarOf } of saved.services) {
      if (registry.service(form.ID) !== undefined) continue;
      registry.putService({ form, token, source: 'api', ...(sidecarOf === undefined ? {} : { sidecarOf }) });
    }
    for (const { form, token, type } of saved.checks) {
      if (registry.check(form.CheckID) !== undefined) continue;
      if (form.ServiceID !== '' && registry.service(form.ServiceID) === undefined) {
        await files.removeCheck(form.CheckID);
        continue;
      }
      const fresh: CheckForm = { ...form, Status: 'critical', Output: '' };
      const kept = {
        form: fresh,
        token,
        source: 'api',
        unproven: true,
        ...(type === undefined ? {} : { type }),
      } as const;
      await this.addCheck(kept, false);
    }
  }
}

/** A file that is read again is no word about tags that others gave meanwhile, unless its own tags have changed. */
function withOverriddenTags(
  { form, source }: NewService,
  known: LocalService | undefined,
): Pick<LocalService, 'form' | 'ownTags'> {
  const { ownTags } = known ?? {};
  const kept =
    source === 'file' && form.EnableTagOverride && ownTags !== undefined && isDeepStrictEqual(form.Tags, ownTags);
  return kept && known !== undefined ? { form: { ...form, Tags: known.form.Tags }, ownTags } : { form };
}

/** A TTL that has run out is critical, whatever was known; for the rest a restart of the agent is no reason to be. */
function startsUnproven({ type, source, unproven }: LocalCheck): boolean {
  if (type === undefined || checkKind(type) === 'ttl') return false;
  return unproven === true || (source === 'file' && (type.Status ?? '') === '');
}

function newServiceCheck(service: ServiceForm, type: CheckType, index: number, count: number): CheckForm {
  return {
    CheckID: type.CheckID || type.ID || `service:${service.ID}${count > 1 ? `:${index + 1}` : ''}`,
    Name: type.Name || `Service '${service.Service}' check`,
    Status: type.Status || 'critical',
    Notes: type.Notes ?? '',
    Output: '',
    ServiceID: service.ID,
    ServiceName: service.Service,
    ServiceTags: service.Tags,
    Type: checkKind(type),
  };
}

/** A check that is registered on its own. Throws `rejected` when its service is not there. */
export function newCheck(definition: CheckDefinition, service: LocalService | undefined): CheckForm {
  if (definition.ServiceID && service === undefined)
    throw new IsthmusError('rejected', `ServiceID ${JSON.stringify(definition.ServiceID)} does not exist`);
  return {
    CheckID: definition.ID || definition.Name || '',
    Name: definition.Name ?? '',
    Status: definition.Status || 'critical',
    Notes: definition.Notes ?? '',
    Output: '',
    ServiceID: service?.form.ID ?? '',
    ServiceName: service?.form.Service ?? '',
    ServiceTags: service?.form.Tags ?? null,
    Type: checkKind(definition),
  };
}
