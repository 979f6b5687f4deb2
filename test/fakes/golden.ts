import { readFileSync } from 'node:fs';

/** One recorded exchange with Consul; see test/conformance/golden/README.md. */
export interface Recording {
  readonly name: string;
  readonly dc: string;
  readonly request: { readonly method: string; readonly path: string; readonly body?: unknown };
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: unknown;
  };
}

/** The recordings of one file, in the order in which they were sent. */
export function recordings(file: string): readonly Recording[] {
  const url = new URL(`../conformance/golden/${file}`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8')) as readonly Recording[];
}
