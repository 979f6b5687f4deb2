import type { Counts } from './vitest-run.mjs';

export type Step = { readonly tests: readonly string[] } | { readonly script: readonly string[] };
export interface Tier {
  readonly about: string;
  readonly node?: string;
  readonly envoys?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly steps: readonly Step[];
}
export const TIERS: Readonly<Record<string, Tier>>;
export function tiersOf(args: readonly string[]): {
  readonly only: readonly string[];
  readonly also: readonly string[];
  readonly rest: readonly string[];
};
export function runTier(root: string, name: string, tiers?: Readonly<Record<string, Tier>>): Counts;
