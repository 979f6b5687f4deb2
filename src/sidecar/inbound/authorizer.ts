import type { Verdicts } from '../../model/intention.ts';
import { type Decision, decide } from '../../model/verdicts.ts';

/** Sources remembered at once; they all hold certificates of the mesh, so this is only a backstop. */
const MAX_CACHED = 10_000;

/** Answers from the compiled verdicts; each source is decided once for each change. Nothing is allowed before the first. */
export class Authorizer {
  #verdicts: Verdicts | undefined;
  readonly #decisions = new Map<string, Decision>();

  get revision(): number | undefined {
    return this.#verdicts?.revision;
  }

  set(verdicts: Verdicts): void {
    this.#verdicts = verdicts;
    this.#decisions.clear();
  }

  decide(service: string, datacenter: string): Decision {
    const key = `${datacenter}/${service}`; // neither holds a slash
    const known = this.#decisions.get(key);
    if (known !== undefined) return known;
    const decision = this.#verdicts === undefined ? { allowed: false } : decide(this.#verdicts, service, datacenter);
    if (this.#decisions.size >= MAX_CACHED) this.#decisions.clear();
    this.#decisions.set(key, decision);
    return decision;
  }

  /** What a log line or an answer says about a decision. */
  explain(decision: Decision): Readonly<Record<string, unknown>> {
    const { rule } = decision;
    if (rule === undefined) return { rule: 'default', revision: this.revision ?? 0 };
    const dc = (name: string | undefined): string => (name === undefined ? '' : `.${name}`);
    return {
      rule: `${rule.source}${dc(rule.sourceDatacenter)} => ${rule.destination}${dc(rule.destinationDatacenter)} (${rule.action})`,
      precedence: rule.precedence,
      revision: rule.revision,
      ...(rule.id === undefined ? {} : { intention: rule.id }),
    };
  }
}
