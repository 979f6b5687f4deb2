import { describe, expect, it } from 'vitest';
import { ACCESS_ROWS, type AccessRow } from '../../../test/integration/access-rows.ts';
import { allRoutes } from './reference.ts';

it('has a row for every route in the table of who may ask what, which test/integration goes through', () => {
  const routes = allRoutes().map(({ method, path }) => `${method} ${path}`);
  expect(Object.keys(ACCESS_ROWS).sort()).toEqual(routes.sort());
});

/** What each part of a row's rules grants, as the documentation of the API names it. */
function grants({ rules = '', management = false }: AccessRow): readonly (readonly string[])[] {
  if (management) return [['management']];
  const found: string[][] = [];
  for (const [, resource = '', flat, block = ''] of rules.matchAll(
    /(\w+?)(?:_prefix)?(?: "[^"]*")? (?:= "(\w+)"|\{([^}]*)\})/g,
  )) {
    const level = flat ?? /policy = "(\w+)"/.exec(block)?.[1] ?? '';
    const intentions = /intentions = "(\w+)"/.exec(block)?.[1];
    // To read a service is to read its intentions.
    if (intentions !== undefined) found.push([`intentions:${intentions}`]);
    else
      found.push(
        resource === 'service' && level === 'read' ? [`service:read`, 'intentions:read'] : [`${resource}:${level}`],
      );
  }
  return found;
}

describe('what the reference says a token needs', () => {
  it.each(allRoutes().map((route) => [`${route.method} ${route.path}`, route] as const))(
    '%s: what suffices on a running agent',
    (name, { acl }) => {
      const granted = grants(ACCESS_ROWS[name] as AccessRow);
      const said = acl === 'none' ? [] : acl.split(',');
      for (const one of said) expect(granted.flat()).toContain(one);
      for (const alternatives of granted) expect(alternatives.some((one) => said.includes(one))).toBe(true);
    },
  );
});
