import type { Definition } from '../../config/definition.ts';
import { readKeysStrictly } from '../../config/read-file.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { parseJson } from '../../lib/hcl/json.ts';
import type { ConfigNode } from '../../lib/hcl/node.ts';
import { parseHcl } from '../../lib/hcl/parser.ts';
import { CommandFailure, type Io } from '../command.ts';

/** The words of Consul's tools for what went wrong with a file. */
function readError(path: string, error: unknown): IsthmusError {
  const code = (error as NodeJS.ErrnoException).code;
  const known: Readonly<Record<string, string>> = {
    ENOENT: 'no such file or directory',
    EACCES: 'permission denied',
    EISDIR: 'is a directory',
  };
  const text = known[code ?? ''] ?? IsthmusError.from(error).message;
  return new IsthmusError('invalid_argument', `open ${path}: ${text}`, { cause: error });
}

export async function readInput(path: string, io: Io): Promise<string> {
  if (path === '-') return io.readStdin();
  try {
    return io.readFile(path);
  } catch (error) {
    throw readError(path, error);
  }
}

/** HCL or JSON, whichever the text is. */
export function parseInput(text: string, path: string): ConfigNode {
  return path.endsWith('.json') ? parseJson(text, path) : parseHcl(text, path);
}

/** The service definitions of files, in the shape of the API. */
export async function readServices(paths: readonly string[], io: Io): Promise<Definition[]> {
  const services: Definition[] = [];
  for (const path of paths) {
    try {
      const root = parseInput(await readInput(path, io), path);
      if (root.kind !== 'object') continue;
      for (const given of readKeysStrictly(root, path, [])) {
        if (given.path === 'service' || given.path === 'services') services.push(...(given.value as Definition[]));
      }
    } catch (error) {
      throw new CommandFailure(`Error reading service definitions from ${path}`, error);
    }
  }
  return services;
}
