import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One request that was sent to the real peer, and what it answered. */
export interface Recording {
  readonly name: string;
  readonly dc: 'dc1' | 'dc2';
  readonly request: { readonly method: string; readonly path: string; readonly body?: unknown };
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: unknown;
  };
}

export interface CommandRecording {
  readonly args: readonly string[];
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Each file goes on with the state that the one before it left. */
export const HTTP_FILES = [
  'status-and-errors',
  'catalog-and-health',
  'agent',
  'intentions',
  'connect-ca',
  'prepared-queries',
  'config-entries',
] as const;

/** `acl` starts on a state of its own, with access control on. */
export type HttpFile = (typeof HTTP_FILES)[number] | 'acl';

export function loadRecordings(file: HttpFile): readonly Recording[] {
  return load(file);
}

export function loadCommands(): readonly CommandRecording[] {
  return load('cli');
}

function load<T>(file: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, 'golden', `${file}.json`), 'utf8')) as T;
}
