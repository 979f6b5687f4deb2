import type { VerdictRule, Verdicts } from './intention.ts';

/** What the compiled rules say about one source. */
export interface Decision {
  readonly allowed: boolean;
  /** The rule that decided; absent when none matched and the default applied. */
  readonly rule?: VerdictRule;
}

/** The first rule that matches the source decides, else the default. `*` and an absent datacenter match any. */
export function decide(verdicts: Verdicts, source: string, sourceDatacenter: string): Decision {
  for (const rule of verdicts.rules) {
    if (rule.source !== '*' && rule.source !== source) continue;
    if (rule.sourceDatacenter !== undefined && rule.sourceDatacenter !== sourceDatacenter) continue;
    return { allowed: rule.action === 'allow', rule };
  }
  return { allowed: verdicts.defaultAction === 'allow' };
}
