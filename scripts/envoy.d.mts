/** What every run is tried with. */
export const ENVOY_VERSION: string;
/** Path of an Envoy; undefined when there is none on this machine. A version asks for that one alone. */
export function findEnvoy(version?: string): string | undefined;
/** Brings a version into the cache; returns its path. Throws with what to do. */
export function installEnvoy(version?: string): string;
