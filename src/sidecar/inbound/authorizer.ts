import type { Verdicts } from '../../model/intention.ts';
import { compilePermissions, compileProviders } from '../../model/layer7/compile-permissions.ts';
import type { JwtProvider } from '../../model/layer7/jwt-provider.ts';
import {
  connectionVerdict,
  evaluatePermissions,
  type PermissionQuestion,
  type PermissionVerdict,
} from '../../model/layer7/permissions.ts';
import { type Decision, decide } from '../../model/verdicts.ts';

/** Sources remembered at once; they all hold certificates of the mesh, so this is only a backstop. */
const MAX_CACHED = 10_000;

/**
 * Answers from the compiled verdicts; each source is decided once for each change. Nothing is allowed before the first.
 */
export class Authorizer {
  #verdicts: Verdicts | undefined;
  #providers: ReadonlyMap<string, JwtProvider> = new Map();
  /** The service has requests, each of which is decided by itself. */
  #byRequest = false;
  readonly #decisions = new Map<string, Decision>();

  /** Of the tokens that rules about requests name, by name. */
  get providers(): ReadonlyMap<string, JwtProvider> {
    return this.#providers;
  }

  get revision(): number | undefined {
    return this.#verdicts?.revision;
  }

  set(verdicts: Verdicts): void {
    this.#verdicts = verdicts;
    this.#providers = compileProviders(verdicts);
    this.#decisions.clear();
  }

  setByRequest(byRequest: boolean): void {
    this.#byRequest = byRequest;
    this.#decisions.clear();
  }

  /** About a connection: where requests are decided, it may be open while any request on it could be allowed. */
  decide(service: string, datacenter: string): Decision {
    const key = `${datacenter}/${service}`; // neither holds a slash
    const known = this.#decisions.get(key);
    if (known !== undefined) return known;
    const decision = this.#decideNow(service, datacenter);
    if (this.#decisions.size >= MAX_CACHED) this.#decisions.clear();
    this.#decisions.set(key, decision);
    return decision;
  }

  request(question: PermissionQuestion): PermissionVerdict {
    if (this.#verdicts === undefined) return { allowed: false, by: 'default' };
    return evaluatePermissions(compilePermissions(this.#verdicts), question);
  }

  /** What a log line or an answer says about a decision. */
  explain(decision: Decision): Readonly<Record<string, unknown>> {
    const { rule } = decision;
    if (rule === undefined) return this.#default();
    return { ...this.#named(rule, rule.action), precedence: rule.precedence, revision: rule.revision, ...idOf(rule) };
  }

  explainRequest(verdict: PermissionVerdict): Readonly<Record<string, unknown>> {
    if (verdict.by === 'default') return this.#default();
    const { rule, by } = verdict;
    const what = by === 'permission' ? `permission ${verdict.at}` : by;
    return {
      ...this.#named(rule, what),
      ...(by === 'permission' ? { permission: verdict.at } : {}),
      precedence: rule.precedence,
      revision: rule.revision,
      ...idOf(rule),
    };
  }

  #decideNow(service: string, datacenter: string): Decision {
    const verdicts = this.#verdicts;
    if (verdicts === undefined) return { allowed: false };
    const decision = decide(verdicts, service, datacenter);
    if (!this.#byRequest || decision.allowed) return decision;
    return { ...decision, allowed: connectionVerdict(compilePermissions(verdicts), service, datacenter) !== 'deny' };
  }

  #default(): Readonly<Record<string, unknown>> {
    return { rule: 'default', revision: this.revision ?? 0 };
  }

  #named(rule: Named, what: string): { readonly rule: string } {
    const dc = (name: string | undefined): string => (name === undefined ? '' : `.${name}`);
    const { source, sourceDatacenter, destination, destinationDatacenter } = rule;
    return { rule: `${source}${dc(sourceDatacenter)} => ${destination}${dc(destinationDatacenter)} (${what})` };
  }
}

interface Named {
  readonly source: string;
  readonly sourceDatacenter?: string;
  readonly destination: string;
  readonly destinationDatacenter?: string;
  readonly id?: string;
}

function idOf({ id }: Named): { readonly intention?: string } {
  return id === undefined ? {} : { intention: id };
}
