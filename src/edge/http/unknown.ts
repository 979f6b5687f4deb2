import type { ApiResponse } from './route.ts';

/**
 * The answer for a path that no route has. Consul's 404 is empty, which its clients read as "no such key" where a
 * missing object is answered in the same way.
 */
export function unknownEndpoint(url: string): ApiResponse {
  const path = url.replace(/\?.*$/s, '');
  return { status: 404, text: `${JSON.stringify(shortened(path))} is no endpoint of this API` };
}

const MAX_SHOWN = 100;

function shortened(path: string): string {
  return path.length > MAX_SHOWN ? `${path.slice(0, MAX_SHOWN)}…` : path;
}
