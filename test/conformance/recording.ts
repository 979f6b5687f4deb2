import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { COMPATIBLE_VERSION } from '../../src/model/version.ts';

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
  /** What it reads from standard input. */
  readonly stdin?: string;
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One DNS question and what Consul answered; records as `dig` writes them. */
export interface DnsRecording {
  readonly name: string;
  readonly type: string;
  readonly status: string;
  readonly flags: string;
  readonly answer: readonly string[];
  readonly authority: readonly string[];
  readonly additional: readonly string[];
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
  'kv',
] as const;

/** Recorded on a state of its own, each again on the one before; what is not here yet is left out. */
export const KV_FILES = ['kv-and-sessions', 'txn-and-events', 'case-and-namespaces'] as const;

/** `acl` starts on a state of its own, with access control on. */
export type HttpFile = (typeof HTTP_FILES)[number] | (typeof KV_FILES)[number] | 'acl';

export function loadRecordings(file: HttpFile): readonly Recording[] {
  return load(file);
}

export function loadQuestions(): readonly DnsRecording[] {
  return load<{ readonly answers: readonly DnsRecording[] }>('dns').answers;
}

export function loadCommands(file: 'cli' | 'cli-kv' = 'cli'): readonly CommandRecording[] {
  return load(file);
}

/** Recorded from 1.9.8; what is spoken now calls itself another version. */
function load<T>(file: string): T {
  const text = readFileSync(join(import.meta.dirname, 'golden', `${file}.json`), 'utf8');
  return JSON.parse(text.replaceAll('1.9.8', COMPATIBLE_VERSION)) as T;
}
