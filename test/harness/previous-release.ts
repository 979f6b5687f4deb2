import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installDependencies, isInstalled } from '../../scripts/install.mjs';

const ROOT = join(import.meta.dirname, '..', '..');

/** Builds of earlier versions, which run beside this one in tests. */
export interface PreviousRelease {
  /** Why there is none, or '' when there is one. */
  readonly missing: string;
  /** Tag or commit. */
  readonly ref: string;
  /** Builds it in a temporary folder, which is removed when this process ends; resolves with its program. */
  build(): string;
}

/**
 * The version to upgrade from: the newest tag before this commit. Until there is one, `pinned`, a commit.
 * A clone without that history has none, and tests with it are skipped.
 */
export function previousRelease(pinned: string): PreviousRelease {
  const [newest] = git('tag', '--list', 'v*', '--sort=-version:refname', '--no-contains', 'HEAD').out.split('\n');
  const ref = newest === undefined || newest === '' ? pinned : newest;
  const known = git('cat-file', '-e', `${ref}^{commit}`);
  const missing = known.ok ? '' : `this clone does not hold ${ref} (git fetch --unshallow --tags)`;
  return { missing, ref, build: () => buildRelease(ref) };
}

function git(...args: string[]): { ok: boolean; out: string } {
  const { status, stdout } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' });
  return { ok: status === 0, out: stdout?.trim() ?? '' };
}

/**
 * Builds a commit in a temporary folder, which is removed when this process ends; returns its program.
 * @param root of the checkout that holds it
 */
export function buildRelease(ref: string, root = ROOT): string {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-previous-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  run('git', ['archive', '--format=tar', '--output', join(folder, 'source.tar'), ref], root);
  mkdirSync(join(folder, 'source'));
  run('tar', ['-xf', join(folder, 'source.tar'), '-C', join(folder, 'source')], folder);
  const source = join(folder, 'source');
  // Those of this version serve an earlier one that pins the same, which takes no network.
  const own = join(root, 'node_modules');
  if (isInstalled(source, own)) symlinkSync(own, join(source, 'node_modules'));
  else if (!installDependencies(source)) throw new Error(`the dependencies of ${ref} can't be installed`);
  run(process.execPath, [join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'tsconfig.build.json'], source);
  run(process.execPath, [join('scripts', 'bundle.mjs')], source);
  const program = join(source, 'bin', 'isthmus');
  if (!existsSync(program)) throw new Error(`${ref} was built without bin/isthmus`);
  return program;
}

function run(command: string, args: readonly string[], cwd: string): void {
  const { status, stderr, stdout, error } = spawnSync(command, args, { cwd, encoding: 'utf8' });
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? ''}${stdout}${stderr}`.slice(0, 4_000));
}
