import { describe, expect, it } from 'vitest';
import type { ServiceIntentionsEntry, SourceIntention } from '../intention.ts';
import { compileVerdicts, decide } from '../verdicts.ts';
import { compilePermissions } from './compile-permissions.ts';
import { NORMALISED_BY_DEFAULT, normaliseRequest } from './normalise-request.ts';
import { connectionVerdict, evaluatePermissions, type PermissionVerdict, providersOf } from './permissions.ts';

const source = (fields: Partial<SourceIntention> & { Name: string }): SourceIntention => ({
  Precedence: 9,
  Type: 'consul',
  ...fields,
});

function verdictsOf(sources: readonly SourceIntention[], JWT?: ServiceIntentionsEntry['JWT'], defaultAction = 'deny') {
  const entry = { Kind: 'service-intentions' as const, Name: 'web', Sources: sources, ...(JWT ? { JWT } : {}) };
  return compileVerdicts({
    destination: 'web',
    destinationDatacenter: 'dc1',
    entries: [{ entry, revision: 7 }],
    defaultAction: defaultAction as 'deny',
  });
}

function ask(
  rules: ReturnType<typeof compilePermissions>,
  path: string,
  tokens: Readonly<Record<string, unknown>> = {},
  service = 'shop',
): PermissionVerdict {
  const request = { method: 'GET', path, authority: 'web', headers: [] };
  return evaluatePermissions(rules, { service, datacenter: 'dc1', request, tokens: new Map(Object.entries(tokens)) });
}

describe('permissions', () => {
  const verdicts = verdictsOf([
    source({
      Name: 'shop',
      Permissions: [
        { Action: 'deny', HTTP: { PathPrefix: '/admin' } },
        { Action: 'allow', HTTP: { PathPrefix: '/', Methods: ['GET'] } },
      ],
    }),
    source({ Name: '*', Action: 'allow', Precedence: 8 }),
  ]);
  const rules = compilePermissions(verdicts);

  it('are decided by the first that matches; the rules after theirs say nothing', () => {
    expect(ask(rules, '/admin')).toMatchObject({ allowed: false, by: 'permission', at: 0 });
    expect(ask(rules, '/x')).toMatchObject({ allowed: true, by: 'permission', at: 1 });
    expect(ask(rules, '/x', {}, 'other')).toMatchObject({ allowed: true, by: 'rule' });
    expect(ask(compilePermissions(verdictsOf([])), '/')).toEqual({ allowed: false, by: 'default' });
  });

  it('fall through to the default', () => {
    const only = [source({ Name: 'shop', Permissions: [{ Action: 'allow', HTTP: { PathExact: '/a' } }] })];
    expect(ask(compilePermissions(verdictsOf(only)), '/b')).toMatchObject({ allowed: false, by: 'no permission' });
    expect(ask(compilePermissions(verdictsOf(only, undefined, 'allow')), '/b')).toMatchObject({ allowed: true });
  });

  it('are a deny to whoever decides connections, and to one that gets them from an older server', () => {
    expect(decide(verdicts, 'shop', 'dc1').allowed).toBe(false);
    expect(connectionVerdict(rules, 'shop', 'dc1')).toBe('by request');
    expect(connectionVerdict(rules, 'other', 'dc1')).toBe('allow');
    const old = { ...verdicts, rules: verdicts.rules.map(({ requests, ...rule }) => rule) };
    expect(ask(compilePermissions(old), '/x')).toMatchObject({ allowed: false, by: 'rule' });
    expect(connectionVerdict(compilePermissions(old), 'shop', 'dc1')).toBe('deny');
  });
});

describe('tokens', () => {
  const provider = (Name: string, Path: readonly string[], Value: string) => ({
    Providers: [{ Name, VerifyClaims: [{ Path, Value }] }],
  });

  it('are asked for by an entry for all that it allows', () => {
    const verdicts = verdictsOf(
      [source({ Name: 'shop', Action: 'allow' }), source({ Name: '*', Action: 'deny', Precedence: 8 })],
      provider('okta', ['perms', 'role'], 'admin'),
      'allow',
    );
    const rules = compilePermissions(verdicts);
    expect(decide(verdicts, 'shop').allowed).toBe(false); // by an older sidecar
    expect(ask(rules, '/')).toMatchObject({ allowed: false, by: 'token' });
    expect(ask(rules, '/', { okta: { perms: { role: 'admin' } } })).toMatchObject({ allowed: true, by: 'rule' });
    expect(ask(rules, '/', { okta: { perms: { role: ['x', 'admin'] } } }).allowed).toBe(true);
    expect(ask(rules, '/', { okta: { perms: { role: 'adm' } } }).allowed).toBe(false);
    expect(ask(rules, '/', { other: { perms: { role: 'admin' } } }).allowed).toBe(false);
    expect(ask(rules, '/', { okta: { perms: { role: 'admin' } } }, 'other')).toMatchObject({
      allowed: false,
      by: 'rule',
    });
    expect(providersOf(rules)).toEqual(['okta']);
  });

  it('are part of what a permission matches', () => {
    const rules = compilePermissions(
      verdictsOf([
        source({
          Name: 'shop',
          Permissions: [
            { Action: 'allow', HTTP: { PathPrefix: '/admin' }, JWT: provider('okta', ['aud'], 'x') },
            { Action: 'deny', HTTP: { PathPrefix: '/admin' } },
            { Action: 'allow', HTTP: { PathPrefix: '/' } },
          ],
        }),
      ]),
    );
    expect(ask(rules, '/admin')).toMatchObject({ allowed: false, at: 1 });
    expect(ask(rules, '/admin', { okta: { aud: 'x' } })).toMatchObject({ allowed: true, at: 0 });
    expect(ask(rules, '/')).toMatchObject({ allowed: true, at: 2 });
  });
});

describe('a request', () => {
  const normal = (path: string, options = {}): unknown => {
    const given = { method: 'GET', path, authority: 'web', headers: [['a_b', '1']] as const };
    const result = normaliseRequest(given, { ...NORMALISED_BY_DEFAULT, ...options });
    return result.action === 'forward' ? result.request.path : result.action;
  };

  it.each([
    ['/a/../admin', '/admin'],
    ['/a/%2e%2E/admin', '/admin'],
    ['/..%2fadmin', '/..%2fadmin'],
    ['/a\\..\\admin', '/admin'],
    ['/%61dmin?x=%61', '/admin?x=%61'],
    ['/a//b/.', '/a//b/'],
    ['/a b"', '/a%20b%22'],
    ['/\u00e4', '/%E4'],
    ['/%zz%', '/%zz%'],
    ['/a%00', 'reject'],
    ['admin', 'reject'],
    ['/a#b', 'reject'],
    ['*', '*'],
    ['/a/..', '/'],
    ['/a/b/..', '/a/'],
  ])('%s is seen as %s', (path, seen) => {
    expect(normal(path)).toBe(seen);
  });

  it('is normalised as the mesh entry says', () => {
    expect(normal('/a/../b', { path: false })).toBe('/a/../b');
    expect(normal('//a///b?c//', { mergeSlashes: true })).toBe('/a/b?c//');
    expect(normal('/a%2f..%2Fb', { escapedSlashes: 'forward' })).toBe('/b');
    expect(normal('/a%5Cb', { escapedSlashes: 'reject' })).toBe('reject');
    expect(normal('/a%2Fb', { escapedSlashes: 'redirect' })).toBe('redirect');
    expect(normal('/', { underscores: 'reject' })).toBe('reject');
    const dropped = normaliseRequest(
      { method: 'GET', path: '/', authority: 'web', headers: [['a_b', '1']] },
      { ...NORMALISED_BY_DEFAULT, underscores: 'drop' },
    );
    expect(dropped).toMatchObject({ request: { headers: [] } });
  });
});
