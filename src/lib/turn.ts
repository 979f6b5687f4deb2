/** Resolves after everything else that waits has had its turn: long work pauses here. It is no measure of time. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
