import { expect, it } from 'vitest';
import { ACCESS_ROWS } from '../../../test/integration/access-rows.ts';
import { allRoutes } from './reference.ts';

it('has a row for every route in the table of who may ask what, which test/integration goes through', () => {
  const routes = allRoutes().map(({ method, path }) => `${method} ${path}`);
  expect(Object.keys(ACCESS_ROWS).sort()).toEqual(routes.sort());
});
