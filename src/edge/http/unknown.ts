import type { ApiResponse } from './route.ts';

/** Parts of Consul's API that are not here, by the part of the path after /v1. */
const ABSENT: Readonly<Record<string, string>> = {
  event: 'user events',
};

/**
 * The answer for a path that no route has. Consul's 404 is empty, which its clients read as "no such key" where a
 * missing object is answered in the same way.
 */
export function unknownEndpoint(url: string): ApiResponse {
  const path = url.replace(/\?.*$/s, '');
  const [, version, part = ''] = path.split('/');
  const absent = version === 'v1' && Object.hasOwn(ABSENT, part) ? ABSENT[part] : undefined;
  if (absent !== undefined)
    return { status: 501, text: `Isthmus does not have ${absent} yet: nothing was read or written` };
  return { status: 404, text: `${JSON.stringify(shortened(path))} is no endpoint of this API` };
}

const MAX_SHOWN = 100;

function shortened(path: string): string {
  return path.length > MAX_SHOWN ? `${path.slice(0, MAX_SHOWN)}…` : path;
}
