import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system of its own, small enough to be full soon. */
export interface SmallDisk {
  readonly path: string;
  /** Takes all room that is left. */
  fill(): void;
  /** Gives back what {@link fill} took. */
  makeRoom(): void;
  remove(): void;
}

/** False where this process may not mount file systems. */
export function mayMount(): boolean {
  try {
    smallDisk(1).remove();
    return true;
  } catch {
    return false;
  }
}

/** Mounts a file system in memory; throws where this process may not. */
export function smallDisk(sizeMb: number): SmallDisk {
  const path = mkdtempSync(join(tmpdir(), 'isthmus-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMb}m,mode=0700`, 'tmpfs', path], { stdio: 'pipe' });
  } catch (error) {
    rmSync(path, { recursive: true });
    throw error;
  }
  const ballast = join(path, 'ballast');
  return {
    path,
    fill() {
      const file = openSync(ballast, 'a');
      try {
        for (let block = Buffer.alloc(65_536); ; ) {
          try {
            writeSync(file, block);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
            if (block.length === 512) break;
            block = Buffer.alloc(block.length / 2);
          }
        }
      } finally {
        closeSync(file);
      }
    },
    makeRoom: () => unlinkSync(ballast),
    remove() {
      execFileSync('umount', ['-l', path]);
      rmSync(path, { recursive: true, force: true });
    },
  };
}
