import type { ReadArgs, ReadName } from '../contract/reads.ts';

/** A read of the contract with all that its answer depends on. */
export interface Question<N extends ReadName = ReadName> {
  readonly name: N;
  readonly args: ReadArgs<N>;
  /** Absent is the datacenter of those who are asked. */
  readonly datacenter?: string | undefined;
  /** The answer is what this ACL token may see; absent is anonymous. */
  readonly token?: string | undefined;
}

/** Equal for questions that have the same answer. */
export function questionKey<N extends ReadName>({ name, args, datacenter = '', token = '' }: Question<N>): string {
  return JSON.stringify([name, args, datacenter, token]);
}
