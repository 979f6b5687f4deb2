import { readFileSync } from 'node:fs';
import { IsthmusError } from '../../lib/errors.ts';
import type { Tables } from './tables.ts';

/** Who has the store open. Written inside the store, under LMDB's own write lock, which survives a killed holder. */
export interface Owner {
  readonly pid: number;
  /** When that process started, in the system's own terms; tells a reused process id apart. '' where unknown. */
  readonly started: string;
  /** Tells two openings by one process apart. */
  readonly token: string;
}

export function currentOwner(token: string): Owner {
  return { pid: process.pid, started: startOf(process.pid)?.started ?? '', token };
}

/** Makes `owner` the store's holder, or leaves it so. Within a transaction: LMDB lets one process in at a time. */
export function claim(tables: Tables, owner: Owner, path: string): void {
  const holder = tables.meta.get('owner') as Owner | null | undefined;
  if (holder !== undefined && holder !== null && holder.token !== owner.token && ownerLives(holder)) {
    const who = holder.pid === owner.pid ? 'this process' : `process ${holder.pid}`;
    throw new IsthmusError('unavailable', `the store in ${path} is already open in ${who}; stop that one first`);
  }
  tables.meta.putSync('owner', owner);
}

/** True while the process that `owner` names still runs. */
function ownerLives(owner: Owner): boolean {
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it runs as another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  const now = startOf(owner.pid);
  if (now === undefined || owner.started === '') return true; // no /proc: the process id alone has to do
  return !now.dead && now.started === owner.started;
}

/** Boot and start time of a process by Linux's /proc; `undefined` where there is none. */
function startOf(pid: number): { started: string; dead: boolean } | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name, in parentheses, may hold spaces; the fields after it start with number 3, the state.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { started: `${boot}/${fields[19]}`, dead: fields[0] === 'Z' || fields[0] === 'X' };
  } catch {
    return undefined;
  }
}
