/** Minor versions of Envoy that this version is tried with, the newest first. */
export const SUPPORTED_ENVOYS = ['1.40', '1.39', '1.38', '1.37', '1.36'] as const;

/** Patch versions for those who look for one: agents tell them to Consul's command line too. */
export const NEWEST_OF: Readonly<Record<(typeof SUPPORTED_ENVOYS)[number], string>> = {
  '1.40': '1.40.0',
  '1.39': '1.39.3',
  '1.38': '1.38.3',
  '1.37': '1.37.0',
  '1.36': '1.36.4',
};

/** Oldest minor version that can wait for the handshake of a connection before it sends it on. */
const SEPARATES_CALLERS_SINCE = 37;

/** Whether it can keep connections apart by who calls. */
export function canSeparateCallers(version: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)\./.exec(version) ?? [];
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= SEPARATES_CALLERS_SINCE);
}

export function isSupportedEnvoy(version: string): boolean {
  return SUPPORTED_ENVOYS.some((minor) => version.startsWith(`${minor}.`));
}
