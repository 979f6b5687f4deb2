import type { Timer } from '../../lib/clock.ts';
import { linkSignals, sleep } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import type { HealthCheck } from '../../model/catalog.ts';
import { checkKind, type ScriptsAllowed, scriptRefusal } from '../../model/registration/check-rules.ts';
import type { CheckType } from '../../model/registration/definitions.ts';
import { aliasResult } from './checks/alias.ts';
import { type Probe, type ProbeDeps, probeOf } from './checks/probes.ts';
import { type CheckResult, type CheckRunner, type ReportResult, startIntervalCheck } from './checks/runner.ts';
import { withThresholds } from './checks/thresholds.ts';
import { startTtlCheck, type TtlCheck } from './checks/ttl.ts';
import type { LocalCheck, Registry } from './registry.ts';

export interface CheckRunnersDeps extends ProbeDeps {
  readonly node: string;
  readonly registry: Registry;
  readonly tasks: TaskGroup;
  /** Chance in [0, 1). */
  readonly random: () => number;
  readonly scripts: ScriptsAllowed;
  /** Bytes of output kept of any check. */
  readonly maxOutput: number;
  /** Keeps no output of checks at all. */
  readonly discardOutput: boolean;
  /** A check as it is to be carried out now: by way of a proxy that serves its path, for example. */
  readonly rerouted: (checkId: string, type: CheckType) => CheckType;
  /** The IDs of another node's services, again whenever they change; undefined while there is no such node. */
  readonly watchNodeServices: (
    node: string,
    token: string,
    signal: AbortSignal,
  ) => AsyncIterable<ReadonlySet<string> | undefined>;
  /** The checks of another node, again whenever they change. @param token '' is the agent's own. */
  readonly watchNodeChecks: (node: string, token: string, signal: AbortSignal) => AsyncIterable<readonly HealthCheck[]>;
}

/** Pause before another node's checks are asked for again after a failure, milliseconds. */
const ALIAS_RETRY_MS = 5_000;

/** Carries out the checks of the registry: one runner for each check that has a type. */
export class CheckRunners {
  readonly #deps: CheckRunnersDeps;
  readonly #runners = new Map<string, CheckRunner>();
  readonly #ttls = new Map<string, TtlCheck>();
  readonly #aliases = new Map<string, { readonly service: string; readonly refresh: () => void }>();
  /** Aliases by the service that they look at; '' the node alone. */
  readonly #aliasesOf = new Map<string, Set<string>>();
  readonly #staleAliases = new Set<string>();
  #aliasTimer: Timer | undefined;

  constructor(deps: CheckRunnersDeps) {
    this.#deps = deps;
    // A check of the node counts for every alias, one of a service for those that look at the service.
    deps.registry.onChange(({ kind, serviceId }) => {
      const ofNode = kind !== 'service' && serviceId === '';
      this.#refresh(ofNode ? this.#aliases.keys() : (this.#aliasesOf.get(serviceId) ?? []));
    });
  }

  /** @param ttlLeftMs time left of a TTL that ran before a restart. */
  start(check: LocalCheck, ttlLeftMs?: number): void {
    const id = check.form.CheckID;
    this.stop(id);
    const { type } = check;
    if (type === undefined) return;
    const { registry, clock, discardOutput } = this.#deps;
    const report: ReportResult = ({ status, output }) =>
      registry.updateCheck(id, status, discardOutput ? '' : output, clock.steady());
    switch (checkKind(type)) {
      case 'ttl':
        this.#startTtl(check, type.TTL ?? 0, ttlLeftMs, report);
        return;
      case 'alias':
        this.#startAlias(check, type, report);
        return;
      default:
        this.#startProbe(check, type, report);
    }
  }

  stop(id: string): void {
    this.#runners.get(id)?.stop();
    this.#runners.delete(id);
    this.#ttls.delete(id);
    const alias = this.#aliases.get(id);
    if (alias === undefined) return;
    this.#aliases.delete(id);
    const others = this.#aliasesOf.get(alias.service);
    others?.delete(id);
    if (others?.size === 0) this.#aliasesOf.delete(alias.service);
  }

  stopAll(): void {
    for (const id of [...this.#runners.keys()]) this.stop(id);
    this.#aliasTimer?.cancel();
  }

  /** Runs a check at once, when it is one that takes turns. */
  hurry(id: string): void {
    this.#runners.get(id)?.hurry?.();
  }

  /** The TTL of a check, when it is one. */
  ttl(id: string): TtlCheck | undefined {
    return this.#ttls.get(id);
  }

  #startTtl(check: LocalCheck, ttlMs: number, leftMs: number | undefined, report: ReportResult): void {
    const ttl = startTtlCheck(this.#deps.clock, ttlMs, leftMs ?? ttlMs, check.form.Output, report);
    this.#ttls.set(check.form.CheckID, ttl);
    this.#runners.set(check.form.CheckID, ttl);
  }

  #startProbe(check: LocalCheck, type: CheckType, report: ReportResult): void {
    const { scripts, maxOutput, rerouted } = this.#deps;
    const refusal = scriptRefusal(type, check.source, scripts);
    if (refusal !== undefined) {
      // Kept from when they were allowed: it stays registered, and says why it is not carried out.
      this.#runners.set(check.form.CheckID, { stop: () => undefined });
      report({ status: 'critical', output: refusal });
      return;
    }
    const counted = withThresholds(
      {
        successes: type.SuccessBeforePassing ?? 0,
        warnings: type.FailuresBeforeWarning ?? 0,
        failures: type.FailuresBeforeCritical ?? 0,
      },
      report,
    );
    const direct = probeOf(this.#deps, type, maxOutput);
    const probe: Probe = (signal) => {
      const now = rerouted(check.form.CheckID, type);
      return now === type ? direct(signal) : probeOf(this.#deps, now, maxOutput)(signal);
    };
    this.#runners.set(check.form.CheckID, startIntervalCheck(this.#deps, type.Interval ?? 0, probe, counted));
  }

  #startAlias({ form: { CheckID: id }, token }: LocalCheck, type: CheckType, report: ReportResult): void {
    const node = type.AliasNode ?? '';
    const service = type.AliasService ?? '';
    if (node !== '' && node.toLowerCase() !== this.#deps.node.toLowerCase()) {
      this.#runners.set(id, this.#followNode(node, service, token, report));
      return;
    }
    this.#aliases.set(id, { service, refresh: () => report(this.#localAlias(id, service)) });
    const others = this.#aliasesOf.get(service);
    if (others === undefined) this.#aliasesOf.set(service, new Set([id]));
    else others.add(id);
    this.#runners.set(id, { stop: () => undefined });
    this.#refresh([id]);
  }

  /** The checks of a local service and of this node, but for the alias itself. */
  #localAlias(id: string, service: string): CheckResult {
    const { registry, node } = this.#deps;
    if (service !== '' && registry.service(service) === undefined)
      return { status: 'critical', output: `Service ${service} could not be found on node ${node}` };
    const checks = this.#behind(service).filter((check) => !this.#leadsTo(check, id, new Set()));
    return aliasResult(checks.map((check) => check.form));
  }

  /** What an alias of a service looks at. */
  #behind(service: string): readonly LocalCheck[] {
    const { registry } = this.#deps;
    return service === '' ? registry.checksOf('') : [...registry.checksOf(''), ...registry.checksOf(service)];
  }

  /**
   * Is it the alias `id` itself, or an alias that looks at it in the end? Such a circle would hold itself up for ever.
   */
  #leadsTo(check: LocalCheck, id: string, seen: Set<string>): boolean {
    if (check.form.CheckID === id) return true;
    if (check.form.Type !== 'alias' || seen.has(check.form.CheckID)) return false;
    seen.add(check.form.CheckID);
    return this.#behind(check.type?.AliasService ?? '').some((next) => this.#leadsTo(next, id, seen));
  }

  /** Aliases follow in a turn of their own: one that looks at another must not run within its change. */
  #refresh(ids: Iterable<string>): void {
    for (const id of ids) this.#staleAliases.add(id);
    if (this.#staleAliases.size === 0 || this.#aliasTimer !== undefined) return;
    this.#aliasTimer = this.#deps.clock.after(0, () => {
      this.#aliasTimer = undefined;
      const stale = [...this.#staleAliases];
      this.#staleAliases.clear();
      for (const id of stale) this.#aliases.get(id)?.refresh();
    });
  }

  /** What does not exist is critical: no such node, or no such service on it. */
  #followNode(node: string, service: string, token: string, report: ReportResult): CheckRunner {
    const { clock, tasks, watchNodeServices, watchNodeChecks } = this.#deps;
    const linked = linkSignals(tasks.signal);
    const { signal } = linked;
    let services: { readonly ids: ReadonlySet<string> | undefined } | undefined;
    let checks: readonly HealthCheck[] | undefined;
    const refresh = (): void => {
      if (services === undefined || checks === undefined) return;
      if (services.ids === undefined) report({ status: 'critical', output: `Node ${node} could not be found` });
      else if (service !== '' && !services.ids.has(service))
        report({ status: 'critical', output: `Service ${service} could not be found on node ${node}` });
      else report(aliasResult(checks.filter((check) => check.ServiceID === '' || check.ServiceID === service)));
    };
    const follow = (task: string, watch: () => Promise<void>, forget: () => void): void =>
      tasks.run(task, async () => {
        while (!signal.aborted) {
          try {
            await watch();
          } catch {
            if (signal.aborted) break;
            forget();
            report({ status: 'critical', output: `Checks of node ${node} could not be read` });
          }
          await sleep(clock, ALIAS_RETRY_MS, signal).catch(() => undefined); // only an abort rejects it
        }
        linked.release();
      });
    follow(
      'alias check: services of another node',
      async () => {
        for await (const ids of watchNodeServices(node, token, signal)) {
          services = { ids };
          refresh();
        }
      },
      () => {
        services = undefined;
      },
    );
    follow(
      'alias check: checks of another node',
      async () => {
        for await (const seen of watchNodeChecks(node, token, signal)) {
          checks = seen;
          refresh();
        }
      },
      () => {
        checks = undefined;
      },
    );
    return { stop: () => linked.abort() };
  }
}
