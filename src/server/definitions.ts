import { IsthmusError } from '../lib/errors.ts';
import type { CallOptions } from '../rpc/contract/contract.ts';
import type { ReadArgs, ReadName, ReadValue } from '../rpc/contract/reads.ts';
import type { WriteArgs, WriteName, WriteValue } from '../rpc/contract/writes.ts';
import type { Read } from '../store/read.ts';

/** How each read of the contract is answered in this datacenter. The composition root fills it from the domains. */
export type ReadDefinitions = { readonly [N in ReadName]: Read<ReadArgs<N>, ReadValue<N>> };

/** A read that is answered by asking others, which takes time; it knows by itself when its answer changes. */
export interface AskedRead<N extends ReadName> {
  /** Absent: the answer can only be watched. */
  ask?(args: ReadArgs<N>, options: CallOptions): Promise<ReadValue<N>>;
  /** Absent: the answer can't be watched. */
  follow?(args: ReadArgs<N>, options: CallOptions): AsyncIterable<ReadValue<N>>;
}

/** Reads that are not made from this datacenter's store alone; they go before {@link ReadDefinitions}. */
export type AskedReads = { readonly [N in ReadName]?: AskedRead<N> };

/** How each write of the contract is carried out where it is decided. */
export type WriteDefinitions = {
  readonly [N in WriteName]: (args: WriteArgs<N>, options: CallOptions) => Promise<WriteValue<N>>;
};

/** A read whose answer lies outside the store: never blocks, never cached. */
export function liveRead<Args, Value>(produce: (args: Args) => Value): Read<Args, Value> {
  return { topics: () => [], produce };
}

/** Stands for a read that is among the {@link AskedReads}. */
export const ASKED: Read<unknown, never> = {
  topics: () => [],
  produce() {
    throw new IsthmusError('internal', 'this read is answered by asking others');
  },
};
