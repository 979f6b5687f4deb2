import { IsthmusError } from '../../lib/errors.ts';
import type { Route } from './route.ts';

/** All routes of one path. */
export interface PathEntry {
  /** As in the routes. */
  readonly path: string;
  /** As the router wants it: the rest of a path is `*`. */
  readonly pattern: string;
  /** The rest is bytes: byte-paths.ts finds it, not the router. */
  readonly bytes: boolean;
  readonly routes: ReadonlyMap<string, Route>;
  /** Value of the Allow header. */
  readonly allow: string;
  /** Requests served, for the metrics. */
  requests: number;
  /** Gives the router's parameters the names of the path. */
  paramsOf(raw: Readonly<Record<string, string>>): Readonly<Record<string, string>>;
}

/** Groups routes by path. Methods keep the order of the routes, which the Allow header shows. */
export function pathTable(routes: readonly Route[]): readonly PathEntry[] {
  const grouped = new Map<string, Map<string, Route>>();
  for (const route of routes) {
    const methods = grouped.get(route.path) ?? new Map<string, Route>();
    grouped.set(route.path, methods);
    if (methods.has(route.method)) throw new IsthmusError('internal', `two routes for ${route.method} ${route.path}`);
    methods.set(route.method, route);
  }
  return [...grouped].map(([path, methods]) => pathEntry(path, methods));
}

function pathEntry(path: string, routes: ReadonlyMap<string, Route>): PathEntry {
  const star = path.indexOf('*');
  const rest = star < 0 ? undefined : path.slice(star + 1);
  return {
    path,
    pattern: rest === undefined ? path : `${path.slice(0, star)}*`,
    bytes: [...routes.values()].some((route) => route.rest === 'bytes'),
    routes,
    allow: ['OPTIONS', ...routes.keys()].join(','),
    requests: 0,
    paramsOf(raw) {
      if (rest === undefined) return raw;
      const { '*': value, ...named } = raw;
      return { ...named, [rest]: value ?? '' };
    },
  };
}
