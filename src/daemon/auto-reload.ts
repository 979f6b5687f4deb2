import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { RuntimeConfig, TlsFiles } from '../config/types.ts';
import type { Clock } from '../lib/clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import type { Service } from '../lib/service.ts';
import { createTaskGroup } from '../lib/task.ts';
import type { Logger } from '../telemetry/types.ts';
import type { Reload } from './reload.ts';

export interface AutoReloadDeps {
  /** Files and directories that the configuration was read from. */
  readonly sources: readonly string[];
  readonly reload: Reload;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Between two looks, milliseconds. Looked at rather than watched: what replaces a file (an editor, a mounted secret) is
 * seen whatever the file system reports.
 */
const INTERVAL_MS = 1_000;

/** `auto_reload_config`: reloads once files have changed and stayed as they are for one interval. */
export function createAutoReload({ sources, reload, clock, log }: AutoReloadDeps): Service {
  const tasks = createTaskGroup({
    clock,
    onError: (task, error) => log.error('task failed', { task, error: error.message }),
  });
  const paths = (): readonly string[] => [...sources, ...tlsPaths(reload.loaded().config)];
  const look = (): string => stateOf(paths());
  return {
    name: 'reload of changed configuration files',
    async start() {
      let known = look();
      let changing: string | undefined;
      tasks.loop('auto_reload_config', { pauseMs: INTERVAL_MS }, async () => {
        const watched = paths();
        const state = stateOf(watched);
        if (state === known || state !== changing) {
          changing = state === known ? undefined : state;
          return;
        }
        known = state;
        changing = undefined;
        try {
          await reload.run();
        } catch (error) {
          log.error('configuration files changed, but are not valid: what was in force stays so', {
            error: IsthmusError.from(error).message,
          });
        }
        // A reload may name other files, which are known from now on.
        if (stateOf(watched) === state) known = look();
      });
    },
    stop: () => tasks.stop(),
  };
}

function tlsPaths({ tls }: RuntimeConfig): readonly string[] {
  const paths = ({ caFile, caPath, certFile, keyFile }: TlsFiles): string[] => [caFile, caPath, certFile, keyFile];
  return [tls.rpc, tls.https, tls.grpc].flatMap(paths).filter((path) => path !== '');
}

/** Changes when any of the files does, appears or goes. */
function stateOf(paths: readonly string[]): string {
  return [...new Set(paths)].map(fileState).join('\n');
}

function fileState(path: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(path);
    const inside = listOf(path).map((name) => fileState(join(path, name)));
    return inside.length > 0 ? `${path}:\n${inside.join('\n')}` : `${path}: ${ino} ${size} ${mtimeMs}`;
  } catch {
    return `${path}: absent`;
  }
}

/** Names in a directory that are files; none of a file. */
function listOf(path: string): readonly string[] {
  if (!statSync(path).isDirectory()) return [];
  return readdirSync(path)
    .filter((name) => statSync(join(path, name), { throwIfNoEntry: false })?.isFile())
    .sort();
}
