import { IsthmusError } from '../lib/errors.ts';
import { parseJson } from '../lib/hcl/json.ts';
import { parseHcl } from '../lib/hcl/parser.ts';
import { type Findings, type Given, readKeys } from './read-file.ts';
import type { ConfigDeps, ConfigSource, LoadInput } from './types.ts';

/** The part of a file system error that people know: `open x: no such file or directory`. */
function systemText(operation: string, path: string, error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'no such file or directory',
    EACCES: 'permission denied',
    EISDIR: 'is a directory',
    ENOTDIR: 'not a directory',
  };
  return `${operation} ${path}: ${known[code ?? ''] ?? code ?? IsthmusError.from(error).message}`;
}

function attempt<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const text = `config: Open failed on ${path}. ${systemText('open', path, error)}`;
    throw new IsthmusError('invalid_argument', text, { cause: error });
  }
}

/**
 * Reads every file that the sources name, in their order; directories are read by name and not descended into. Throws
 * when one can't be read at all: what is missing then would be reported as missing keys.
 */
export function readSources(input: LoadInput, deps: ConfigDeps, findings: Findings): Given[] {
  const { problems, warnings } = findings;
  const format = input.format ?? 'auto';
  const readable = (path: string): boolean => {
    if (format !== 'auto' || /\.(hcl|json)$/.test(path)) return true;
    warnings.push(`skipping file ${path}, extension must be .hcl or .json, or config format must be set`);
    return false;
  };
  const files = input.sources.flatMap((source) => problems.attempt(() => expand(source, deps)) ?? []).filter(readable);
  const parsed = files.flatMap((path) => {
    const root = problems.attempt(() => {
      const text = attempt(path, () => deps.readFile(path));
      const json = format === 'json' || (format === 'auto' && path.endsWith('.json'));
      return json ? parseJson(text, path) : parseHcl(text, path);
    });
    return root === undefined ? [] : [{ path, root }];
  });
  for (const [index, text] of (input.fragments ?? []).entries()) {
    const path = `-hcl ${index + 1}`;
    const root = problems.attempt(() => parseHcl(text, path));
    if (root !== undefined) parsed.push({ path, root });
  }
  const unreadable = problems.any;
  const given = parsed.flatMap(({ path, root }) => readKeys(root, path, findings));
  if (unreadable) problems.throwIfAny();
  return given;
}

function expand(source: ConfigSource, deps: ConfigDeps): string[] {
  const names = attempt(source.path, () => deps.listDir(source.path));
  if (names === undefined) return [source.path];
  const base = source.path.endsWith('/') ? source.path : `${source.path}/`;
  return [...names].sort().map((name) => base + name);
}
