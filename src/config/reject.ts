import type { Values } from './keys/table.ts';

/** Fails with the place where a key was given, when it was. */
export type Reject = (path: keyof Values, text: string) => never;
