/**
 * The last part of `npm run build`: makes a few files in dist/bundle of the many in dist and of the libraries that
 * they use. Loading those one by one is half of the CPU time of a start. `bin/isthmus` takes the bundle while it is
 * not older than dist.
 */
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rolldown } from 'rolldown';

const dist = join(import.meta.dirname, '..', 'dist');
const to = join(dist, 'bundle');
const ENTRY = 'main.js';
/** Files of earlier builds stay this long: a process that was started from them may load one of them yet. */
const KEEP_MS = 3_600_000;

const output = await made({ main: join(dist, 'cli', 'main.js') });
mkdirSync(to, { recursive: true });
// The entry last: what it names must be there.
for (const part of [...output].sort((a, b) => Number(a.fileName === ENTRY) - Number(b.fileName === ENTRY)))
  if (part.type === 'chunk') writeFileSync(join(to, part.fileName), latin1(part.fileName, part.code));

const now = Date.now();
for (const name of readdirSync(to)) {
  const file = join(to, name);
  if (!output.some(({ fileName }) => fileName === name) && now - statSync(file).mtimeMs > KEEP_MS) rmSync(file);
}

// What applications are linked with (`isthmus/connect`) is one file of its own; its types lie beside it.
const library = join(dist, 'connect');
mkdirSync(library, { recursive: true });
for (const part of await made({ connect: join(dist, 'client', 'connect', 'index.js') }))
  if (part.type === 'chunk') writeFileSync(join(library, part.fileName), part.code);

async function made(/** @type {Readonly<Record<string, string>>} */ input) {
  const bundle = await rolldown({
    input,
    platform: 'node',
    external: [/^node:/, 'lmdb'], // native code, found beside its own files
    // Of the libraries' own code there is nothing that we could mend.
    onLog: (level, log, next) => {
      if (log.id?.includes('node_modules') !== true && log.code !== 'EVAL') next(level, log);
    },
  });
  const { output } = await bundle.generate({ format: 'esm', chunkFileNames: '[name]-[hash].js' });
  await bundle.close();
  return output;
}

/** V8 keeps a text with one character beyond Latin-1 at two bytes each; escapes mean the same but in raw templates. */
function latin1(/** @type {string} */ name, /** @type {string} */ code) {
  if (/String\.raw`[^`]*[^\0-\xff]/.test(code)) throw new Error(`${name}: a raw template beyond Latin-1`);
  return code.replace(
    /[^\0-\xff]/g,
    (/** @type {string} */ unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
