import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { IsthmusError } from '../../lib/errors.ts';
import { isSupportedEnvoy, NEWEST_OF, SUPPORTED_ENVOYS } from '../../model/supported-envoys.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Absolute path of a program: a path, or a name that is looked for in PATH. Undefined when there is none. */
function findProgram(name: string, path: string): string | undefined {
  const candidates = name.includes('/')
    ? [resolve(name)]
    : path.split(delimiter).flatMap((folder) => (folder === '' ? [] : [join(folder, name)]));
  return candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The Envoy to run: the one that was asked for, else ENVOY_BIN, `envoy` in PATH, or the newest in the user's cache. */
export function findEnvoy(asked: string, env: Env): string {
  const path = env.PATH ?? '';
  const named = asked || env.ENVOY_BIN || '';
  const cache = env.ISTHMUS_CACHE || join(homedir(), '.cache', 'isthmus');
  const candidates =
    named === ''
      ? [
          'envoy',
          ...SUPPORTED_ENVOYS.map((minor) => join(cache, `envoy-${NEWEST_OF[minor]}`, 'envoy', '_bin', 'envoy')),
        ]
      : [named];
  for (const candidate of candidates) {
    const found = findProgram(candidate, path);
    if (found !== undefined) return found;
  }
  throw new IsthmusError(
    'not_found',
    named === ''
      ? 'There is no Envoy here: install one so that it is in PATH, or name it with -envoy-binary or ENVOY_BIN'
      : `${JSON.stringify(named)} is no program that can be run: name another Envoy with -envoy-binary or ENVOY_BIN`,
  );
}

/** Time for an Envoy to print its version, milliseconds. */
const VERSION_TIMEOUT_MS = 20_000;

/** Version of an Envoy, as it says itself: 1.38.3. */
export function envoyVersion(binary: string, env: Env): string {
  const { stdout, error, status } = spawnSync(binary, ['--version'], {
    encoding: 'utf8',
    env,
    timeout: VERSION_TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const version = /version: [^/\s]*\/(\d+\.\d+\.\d+[^/\s]*)\//.exec(stdout ?? '')?.[1];
  if (version !== undefined) return version;
  throw new IsthmusError(
    'unavailable',
    `${binary} does not say which Envoy it is (${error?.message ?? `exit code ${status}`}): name its version with ` +
      `-envoy-version`,
  );
}

export function requireSupported(version: string): void {
  if (isSupportedEnvoy(version)) return;
  const newest = SUPPORTED_ENVOYS.map((minor) => NEWEST_OF[minor]).join(', ');
  throw new IsthmusError(
    'rejected',
    `Envoy version ${version} is not supported. Supported are ` +
      `${SUPPORTED_ENVOYS.map((minor) => `${minor}.x`).join(', ')} ` +
      `(tried with ${newest}); -ignore-envoy-compatibility starts it all the same`,
  );
}
