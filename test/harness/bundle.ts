import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build } from 'vite';

const ROOT = join(import.meta.dirname, '..', '..');

/**
 * Makes one plain script of a TypeScript file and what it imports, for a test that runs it in a process of its own.
 * Resolves with its path. It lies in the project, so that installed packages are found from it.
 */
export async function bundleScript(entry: string): Promise<string> {
  const folder = join(ROOT, '.tmp', 'scripts');
  const name = `${basename(entry, '.ts')}-${process.pid}.mjs`;
  await mkdir(folder, { recursive: true });
  await build({
    root: ROOT,
    configFile: false,
    logLevel: 'error',
    build: {
      ssr: entry,
      outDir: folder,
      emptyOutDir: false,
      minify: false,
      target: 'node20',
      rollupOptions: { output: { entryFileNames: name } },
    },
  });
  return join(folder, name);
}
