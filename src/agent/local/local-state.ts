import { IsthmusError } from '../../lib/errors.ts';
import { Slots } from '../../lib/slots.ts';
import { createTaskGroup } from '../../lib/task.ts';
import { defaultAddresses } from '../../model/address.ts';
import { badRequest, checkDefinitionFaults, NO_SCRIPTS, scriptRefusal } from '../../model/registration/check-rules.ts';
import {
  type CheckDefinition,
  type CheckType,
  decodeCheckDefinition,
  decodeServiceDefinition,
  type ServiceDefinition,
  type Source,
} from '../../model/registration/definitions.ts';
import {
  allocateSidecarPort,
  checksOf,
  expandSidecar,
  proxyAddress,
  serviceForm,
  sidecarId,
  validateServiceDefinition,
} from '../../model/registration/service-rules.ts';
import type { ServiceForm } from '../../model/service-form.ts';
import type { Metrics } from '../../telemetry/types.ts';
import { CheckRunners } from './check-runners.ts';
import { dockerSocket } from './checks/docker.ts';
import { USUAL_REACH } from './checks/reach.ts';
import { MAX_OUTPUT, truncateOutput } from './checks/runner.ts';
import { MAX_PROGRAMS } from './checks/script.ts';
import { ExposedChecks } from './exposed-checks.ts';
import { RegistrationFiles } from './files.ts';
import {
  type AgentService,
  agentCheck,
  agentService,
  agentServiceWithHash,
  type ServiceHealth,
  serviceHealth,
} from './forms.ts';
import { REAP_INTERVAL_MS, reapCritical } from './reaper.ts';
import { newCheck, Registrations } from './registrations.ts';
import { type LocalService, Registry } from './registry.ts';
import { CatalogSync } from './sync.ts';
import {
  type LocalState,
  type LocalStateDeps,
  type LocalStateOptions,
  OWN_META,
  type RegisterOptions,
} from './types.ts';

export type { LocalState, LocalStateDeps, LocalStateOptions, RegisterOptions };

const DEFAULT_FULL_SYNC_MS = 60_000;
const DEFAULT_OUTPUT_DELAY_MS = 300_000;
const DEFAULT_SIDECAR_PORTS = { min: 21_000, max: 21_255 };
const DEFAULT_EXPOSE_PORTS = { min: 21_500, max: 21_755 };

/**
 * The services and checks of this agent's node: registered, carried out, kept over a restart, synced to the catalog.
 */
export function createLocalState(deps: LocalStateDeps, options: LocalStateOptions): LocalState {
  const { clock, contract, log, metrics } = deps;
  const { node, datacenter } = options;
  const random = deps.random ?? Math.random;
  const addresses = defaultAddresses(options.address);
  const tasks = createTaskGroup({
    clock,
    onError: (task, error) => log.warn('background task failed', { task, error: error.message }),
  });
  const registry = new Registry();
  const files = new RegistrationFiles(options.dataDir || undefined, (file, error) =>
    log.warn('registration file skipped', { file, error: error.message }),
  );
  const { scripts = NO_SCRIPTS, env = {} } = options;
  const maxOutput = options.checkOutputMaxSize || MAX_OUTPUT;
  const slots = new Slots(MAX_PROGRAMS);
  const exposed = new ExposedChecks({
    registry,
    log,
    address: options.address,
    addresses,
    ports: options.exposePorts ?? DEFAULT_EXPOSE_PORTS,
  });
  const runners = new CheckRunners({
    rerouted: (id, type) => exposed.rerouted(id, type),
    node,
    registry,
    clock,
    tasks,
    random,
    reach: options.checkReach ?? USUAL_REACH,
    env,
    slots,
    dockerSocket: dockerSocket(env.DOCKER_HOST),
    scripts,
    maxOutput,
    discardOutput: options.discardCheckOutput === true,
    async *watchNodeServices(node, token, signal) {
      const options = { signal, ...(token === '' ? {} : { token }) };
      for await (const { value } of contract.watch('catalog.nodeServices', { node }, options))
        yield value === null ? undefined : new Set(value.Services.map((service) => service.ID));
    },
    async *watchNodeChecks(node, token, signal) {
      const options = { signal, ...(token === '' ? {} : { token }) };
      for await (const { value } of contract.watch('health.node', { node }, options)) yield value;
    },
  });
  const registrations = new Registrations({ registry, runners, files, clock });
  const sync = new CatalogSync(
    {
      info: {
        node,
        nodeId: options.nodeId,
        address: options.address,
        taggedAddresses: options.taggedAddresses,
        nodeMeta: { ...OWN_META, ...options.nodeMeta },
      },
      registry,
      contract,
      clock,
      tasks,
      log,
      metrics,
      random,
      token: deps.token,
      fileToken: deps.fileToken,
    },
    {
      fullIntervalMs: options.fullSyncIntervalMs ?? DEFAULT_FULL_SYNC_MS,
      outputDelayMs: options.checkUpdateIntervalMs ?? DEFAULT_OUTPUT_DELAY_MS,
    },
  );
  declareMetrics(metrics, registry, slots);

  let restored: Promise<void> | undefined;
  const restore = (): Promise<void> => {
    restored ??= registrations.restore();
    return restored;
  };

  const known = (id: string): LocalService => {
    const service = registry.service(id);
    if (service === undefined) throw new IsthmusError('not_found', `unknown service ID: ${id}`);
    return service;
  };

  /** Warns of a proxy that others cannot reach. Such a registration by the API is accepted, as by Consul. */
  const warnOfListening = (form: ServiceForm): void => {
    const own = proxyAddress(form);
    if (own === undefined) return;
    if (own.port !== form.Port)
      log.warn('a proxy listens on its bind_port, but others are sent to the port that it is registered with', {
        proxy: form.ID,
        bind_port: own.port,
        port: form.Port,
      });
    const other = registry.services().find((known) => {
      const theirs = known.form.ID === form.ID ? undefined : proxyAddress(known.form);
      return theirs !== undefined && theirs.host === own.host && theirs.port === own.port;
    });
    if (other !== undefined)
      log.warn('two proxies are registered with the same port: only one of them can listen', {
        proxy: form.ID,
        other: other.form.ID,
        port: own.port,
      });
  };

  /** Returns the IDs of the checks that came with it. */
  const addDefinition = async (
    definition: ServiceDefinition,
    source: Source,
    given: RegisterOptions,
  ): Promise<readonly string[]> => {
    const form = serviceForm(definition);
    const proxyId = sidecarId(form.ID);
    const sidecar = expandSidecar(definition, addresses, () =>
      allocateSidecarPort(
        options.sidecarPorts ?? DEFAULT_SIDECAR_PORTS,
        registry.portsInUse(proxyId),
        registry.service(proxyId)?.form.Port,
      ),
    );
    for (const each of [form, ...(sidecar === undefined ? [] : [sidecar.form])]) warnOfListening(each);
    const token = definition.Token || given.token || '';
    const replaceChecks = given.replaceExistingChecks === true;
    const checks = checksOf(definition);
    const added = [registrations.addService({ form, checks, token, source, replaceChecks })];
    if (sidecar !== undefined) {
      const own = { ...sidecar, token: sidecar.token || token, source, sidecarOf: form.ID };
      added.push(registrations.addService({ ...own, replaceChecks }));
    }
    return (await Promise.all(added)).flatMap((ids) => [...ids]);
  };

  const validateCheck = (definition: CheckDefinition): void => {
    for (const fault of checkDefinitionFaults(definition)) throw badRequest(fault);
  };

  const requireScripts = (checks: readonly CheckType[], source: Source): void => {
    for (const check of checks) {
      const refusal = scriptRefusal(check, source, scripts);
      if (refusal !== undefined) throw new IsthmusError('rejected', refusal);
    }
  };

  const addCheck = async (definition: CheckDefinition, source: Source, given: RegisterOptions): Promise<void> => {
    const service = definition.ServiceID ? registry.service(definition.ServiceID) : undefined;
    const form = newCheck(definition, service);
    const token = definition.Token || given.token || '';
    await registrations.addCheck({ form, type: definition, token, source }, source === 'file');
  };

  const health = (service: LocalService): ServiceHealth => {
    const checks = [...registry.checksOf(service.form.ID), ...registry.checksOf('')];
    return serviceHealth(service, checks, node, datacenter);
  };

  return {
    name: 'local state',
    async start() {
      await restore();
      sync.start();
      tasks.loop('reap critical services', { pauseMs: REAP_INTERVAL_MS }, () =>
        reapCritical({ registry, clock, log, remove: (id) => registrations.removeService(id) }),
      );
    },
    async stop() {
      runners.stopAll();
      sync.stop();
      await tasks.stop();
      await files.settle();
    },

    services: () => registry.services().map((service) => agentService(service, datacenter)),
    service: (id) => agentServiceWithHash(known(id), datacenter),
    serviceForm: (id) => registry.service(id)?.form,
    waitService(id, hash, waitMs, signal) {
      const now = (): AgentService => agentServiceWithHash(known(id), datacenter);
      return new Promise((resolve, reject) => {
        const finish = (): void => {
          timer.cancel();
          unsubscribe();
          signal.removeEventListener('abort', finish);
          try {
            resolve(now());
          } catch (error) {
            reject(error);
          }
        };
        const timer = clock.after(waitMs, finish);
        const unsubscribe = registry.onChange((change) => {
          if (change.kind !== 'service' || change.id !== id) return;
          if (registry.service(id) === undefined || now().ContentHash !== hash) finish();
        });
        signal.addEventListener('abort', finish, { once: true });
        if (signal.aborted || registry.service(id) === undefined || now().ContentHash !== hash) finish();
      });
    },
    checks: () => registry.checks().map((check) => agentCheck(check, node)),
    healthById: (id) => {
      const service = registry.service(id);
      return service === undefined ? undefined : health(service);
    },
    healthByName: (name) =>
      registry
        .services()
        .filter((service) => service.form.Service === name)
        .map(health),

    async registerService(definition, given = {}) {
      validateServiceDefinition(definition);
      requireScripts([...checksOf(definition), ...checksOf(definition.Connect?.SidecarService ?? {})], 'api');
      await addDefinition(definition, 'api', given);
    },
    async deregisterService(id) {
      await registrations.removeService(id);
    },
    async setServiceMaintenance(id, enable, reason, given = {}) {
      const service = registry.service(id);
      if (service === undefined)
        throw new IsthmusError('not_found', `No service registered with ID ${JSON.stringify(id)}`);
      await registrations.setMaintenance(service, enable, reason, given.token ?? '');
    },
    setNodeMaintenance: (enable, reason, given = {}) =>
      registrations.setMaintenance(undefined, enable, reason, given.token ?? ''),
    async registerCheck(definition, given = {}) {
      validateCheck(definition);
      requireScripts([definition], 'api');
      await addCheck(definition, 'api', given);
    },
    deregisterCheck: (id) => registrations.removeCheck(id),
    updateTtl(id, status, output) {
      const ttl = runners.ttl(id);
      const check = registry.check(id);
      if (ttl === undefined || check?.type === undefined)
        throw new IsthmusError('rejected', `CheckID ${JSON.stringify(id)} does not have associated TTL`);
      const limit = check.type.OutputMaxSize || maxOutput;
      const text = options.discardCheckOutput === true ? '' : truncateOutput(output, limit);
      registry.updateCheck(id, status, text, clock.steady());
      ttl.heard(text);
      const expires = clock.now() + (check.type.TTL ?? 0);
      tasks.run('save TTL', () => files.saveTtl({ id, status, output: text, expires }));
    },

    async loadDefinitions(services, checks) {
      await restore();
      const newServices = services.map((value) =>
        explained('service', value, decodeServiceDefinition, (definition) => {
          validateServiceDefinition(definition);
          requireScripts([...checksOf(definition), ...checksOf(definition.Connect?.SidecarService ?? {})], 'file');
        }),
      );
      const newChecks = checks.map((value) =>
        explained('check', value, decodeCheckDefinition, (definition) => {
          validateCheck(definition);
          requireScripts([definition], 'file');
        }),
      );
      const ids = new Set(newServices.flatMap((definition) => idsOf(definition)));
      const checkIds = new Set(newChecks.map((definition) => definition.ID || definition.Name || ''));
      for (const { source, form } of registry.services())
        if (source === 'file' && !ids.has(form.ID)) await registrations.removeService(form.ID);
      for (const definition of newServices)
        for (const id of await addDefinition(definition, 'file', {})) checkIds.add(id);
      for (const { source, form } of registry.checks())
        if (source === 'file' && !checkIds.has(form.CheckID)) await registrations.removeCheck(form.CheckID);
      for (const definition of newChecks) await addCheck(definition, 'file', {});
    },

    onChange: (listener) => registry.onChange(listener),
    exposedPaths: (proxyId) => exposed.pathsOf(proxyId),
    servesExposed: (proxyId) => exposed.serves(proxyId),
    counts: () => {
      const checks = registry.checks();
      const ttls = checks.filter((check) => check.form.Type === 'ttl').length;
      return { services: registry.services().length, checks: checks.length, ttls };
    },
    requestSync: () => sync.requestFull(),
    runChecks(serviceId) {
      for (const check of registry.checksOf(serviceId)) runners.hurry(check.form.CheckID);
    },
    get synced() {
      return sync.idle;
    },
  };
}

/** Decodes and validates a definition of a file; a refusal names it. */
function explained<D extends { readonly ID?: string; readonly Name?: string }>(
  what: 'service' | 'check',
  value: unknown,
  decode: (value: unknown) => D,
  validate: (definition: D) => void,
): D {
  try {
    const definition = decode(value);
    validate(definition);
    return definition;
  } catch (error) {
    const name = (value as { readonly ID?: string; readonly Name?: string } | null)?.Name ?? '';
    const cause = IsthmusError.from(error);
    throw new IsthmusError('invalid_argument', `${what} ${JSON.stringify(name)}: ${cause.message}`, { cause });
  }
}

function idsOf(definition: ServiceDefinition): readonly string[] {
  const id = definition.ID || definition.Name || '';
  return definition.Connect?.SidecarService === undefined ? [id] : [id, sidecarId(id)];
}

function declareMetrics(metrics: Metrics, registry: Registry, programs: Slots): void {
  metrics.gauge({ name: 'isthmus_agent_services', help: 'Services registered with this agent' }, (set) =>
    set(registry.services().length),
  );
  metrics.gauge({ name: 'isthmus_agent_checks', help: 'Checks of this agent by status', labels: ['status'] }, (set) => {
    for (const status of ['passing', 'warning', 'critical'])
      set(registry.checks().filter((check) => check.form.Status === status).length, { status });
  });
  metrics.gauge(
    {
      name: 'isthmus_agent_check_programs',
      help: 'Programs of script and OS service checks: running, or waiting because as many run as may at a time',
      labels: ['state'],
    },
    (set) => {
      set(programs.taken, { state: 'running' });
      set(programs.waiting, { state: 'waiting' });
    },
  );
}
