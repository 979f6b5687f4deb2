import { setImmediate } from 'node:timers/promises';

/** Resolves after everything else that waits has had its turn: long work pauses here. It is no measure of time. */
export async function turn(): Promise<void> {
  await setImmediate();
}
