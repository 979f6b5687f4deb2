import { expect, it } from 'vitest';
import type { Route } from './route.ts';
import { pathTable } from './table.ts';
import { WholePaths } from './whole-paths.ts';

const route = (method: Route['method'], path: string): Route => ({
  ...{ method, path, about: '', acl: 'none' as const, rule: { by: 'none' } as unknown as Route['rule'] },
  handle: () => ({}),
});

it('finds a path by its very text, with any query, and leaves every other spelling to the router', () => {
  const paths = new WholePaths(
    pathTable([
      route('PUT', '/v1/catalog/register'),
      route('GET', '/v1/catalog/node/:node'),
      route('GET', '/v1/kv/*key'),
    ]),
  );
  expect(paths.find('/v1/catalog/register', 'PUT')?.path).toBe('/v1/catalog/register');
  expect(paths.find('/v1/catalog/register?dc=dc2&a=/b', 'PUT')?.path).toBe('/v1/catalog/register');
  for (const url of [
    '/v1/catalog/register/',
    '//v1/catalog/register',
    '/v1/catalog/Register',
    '/v1/catalog/%72egister',
    '/v1/catalog/../catalog/register',
    '/v1/catalog/register#x',
    '/v1/catalog/register;a',
    'http://localhost/v1/catalog/register',
    '/v1/catalog/node/:node',
    '/v1/kv/*key',
    '/v1/kv/',
  ])
    expect(paths.find(url, 'PUT')).toBeUndefined();
  for (const method of ['HEAD', 'OPTIONS', 'PATCH', 'TRACE', 'put'])
    expect(paths.find('/v1/catalog/register', method)).toBeUndefined();
});
