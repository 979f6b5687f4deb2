/**
 * Checks that imports go down the floors of `layers.mjs`, that packages are used only where they belong, and that
 * nothing below the daemon reads the environment or the real clock. Compares docs/architecture-layers.svg with the
 * floors; with --write it draws it. Usage: node scripts/check-imports.mjs [--write] [--root folder]
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, posix, relative, resolve, sep } from 'node:path';
import { circlesOf } from './circles.mjs';
import { draw } from './draw-layers.mjs';
import { BANNED, CLOCK, LAYERS, PACKAGES, TELEMETRY_TYPES } from './layers.mjs';

const args = process.argv.slice(2);
const root = resolve(
  args.includes('--root') ? String(args[args.indexOf('--root') + 1]) : join(import.meta.dirname, '..'),
);
const source = join(root, 'src');
const problems = [];

const IMPORT =
  /^[ \t]*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]|^[ \t]*import\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

/** @returns {Generator<string, void, void>} */
function* walk(/** @type {string} */ folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (/\.[mc]?tsx?$/.test(entry.name)) yield path;
  }
}

/** The layer that a file below src/ belongs to. */
function layerOf(/** @type {string} */ file) {
  let found;
  for (const layer of LAYERS) {
    if (file.startsWith(`${layer.folder}/`) && layer.folder.length > (found?.folder.length ?? 0)) found = layer;
  }
  return found;
}

/** `agent/*` stands for src/agent and all of its folders. */
const covers = (/** @type {string} */ pattern, /** @type {string} */ folder) =>
  pattern === folder || (pattern.endsWith('/*') && `${folder}/`.startsWith(pattern.slice(0, -1)));

function mayImport(
  /** @type {string} */ from,
  /** @type {import('./layers.mjs').Layer} */ layer,
  /** @type {string} */ target,
  /** @type {import('./layers.mjs').Layer} */ targetLayer,
) {
  if (layer === targetLayer) return true;
  if (layer.floor > 0 && targetLayer.folder === 'lib') return true;
  if (layer.floor > 1 && (targetLayer.folder === 'model' || target === TELEMETRY_TYPES)) return true;
  if (layer.floor === 1 && layer.folder !== 'model' && layer.folder !== 'telemetry' && targetLayer.folder === 'model') {
    return true;
  }
  const extra = (layer.also ?? []).filter(({ file }) => file.test(`/${from}`)).flatMap(({ may }) => may);
  return [...layer.may, ...extra].some((pattern) => covers(pattern, targetLayer.folder));
}

function checkPackage(
  /** @type {string} */ file,
  /** @type {string} */ specifier,
  /** @type {ReadonlySet<string>} */ dependencies,
) {
  const parts = specifier.split('/');
  const name = specifier.startsWith('@') ? parts.slice(0, 2).join('/') : String(parts[0]);
  if (!dependencies.has(name)) problems.push(`src/${file}: ${name} is not among the dependencies of package.json`);
  const homes = /** @type {Readonly<Record<string, readonly string[]>>} */ (PACKAGES)[name];
  if (homes !== undefined && !homes.some((home) => file.startsWith(`${home}/`))) {
    problems.push(`src/${file}: only ${homes.map((home) => `src/${home}`).join(', ')} may import ${name}`);
  }
}

/** Each file of the program to the files that it imports. */
const imports = new Map();

function checkImports(
  /** @type {string} */ file,
  /** @type {import('./layers.mjs').Layer} */ layer,
  /** @type {string} */ text,
  /** @type {ReadonlySet<string>} */ dependencies,
) {
  imports.set(file, []);
  for (const match of text.matchAll(IMPORT)) {
    const specifier = match[1] ?? match[2] ?? match[3] ?? '';
    if (specifier.startsWith('node:')) continue;
    if (!specifier.startsWith('.')) {
      checkPackage(file, specifier, dependencies);
      continue;
    }
    const target = posix.normalize(posix.join(posix.dirname(file), specifier));
    if (target.startsWith('../') || target.endsWith('.test.ts')) {
      problems.push(`src/${file}: must not import ${specifier}, which is not part of the program`);
      continue;
    }
    imports.get(file).push(target);
    const targetLayer = layerOf(target);
    if (targetLayer === undefined) problems.push(`src/${file}: imports src/${target}, which is on no floor`);
    else if (!mayImport(file, layer, target, targetLayer)) {
      problems.push(
        `src/${file}: src/${layer.folder} (floor ${layer.floor}) may not import src/${targetLayer.folder} ` +
          `(floor ${targetLayer.floor}): ${specifier}`,
      );
    }
  }
}

function checkBanned(
  /** @type {string} */ file,
  /** @type {import('./layers.mjs').Layer} */ layer,
  /** @type {string} */ text,
) {
  if (file === CLOCK) return;
  text.split('\n').forEach((/** @type {string} */ line, /** @type {number} */ index) => {
    if (/^\s*(\*|\/\/|\/\*)/.test(line)) return;
    const code = line.replace(/\s\/\/.*$/, '');
    for (const { pattern, name, below, why } of BANNED) {
      if (layer.floor < below && pattern.test(code)) {
        problems.push(`src/${file}:${index + 1}: uses ${name}, which floor ${layer.floor} must not: ${why}`);
      }
    }
  });
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const dependencies = new Set(Object.keys(manifest.dependencies ?? {}));
let count = 0;
for (const path of walk(source)) {
  const file = relative(source, path).split(sep).join('/');
  if (/\.test\.tsx?$/.test(file)) continue; // tests may use whatever they need
  count += 1;
  const layer = layerOf(file);
  if (layer === undefined) {
    problems.push(`src/${file}: is on no floor; add its folder to scripts/layers.mjs`);
    continue;
  }
  const text = readFileSync(path, 'utf8');
  checkImports(file, layer, text, dependencies);
  checkBanned(file, layer, text);
}

for (const circle of circlesOf(imports))
  problems.push(`these import each other in a circle: ${circle.map((file) => `src/${file}`).join(', ')}`);

const picture = join(root, 'docs', 'architecture-layers.svg');
const drawn = draw(LAYERS);
if (args.includes('--write')) {
  mkdirSync(dirname(picture), { recursive: true });
  writeFileSync(picture, drawn);
} else if (!existsSync(picture) || readFileSync(picture, 'utf8') !== drawn) {
  problems.push('docs/architecture-layers.svg is out of date: run "node scripts/check-imports.mjs --write"');
}

for (const problem of problems) console.error(problem);
if (count === 0) console.error('there is no source to check');
console.log(`imports: ${count} files checked, ${problems.length} problems`);
process.exitCode = problems.length > 0 || count === 0 ? 1 : 0;
