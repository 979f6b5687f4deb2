import { expect, it } from 'vitest';
import { entryWarnings } from './entries-without-effect.ts';

it('names what an entry asks for and does not get, in any spelling of the fields', () => {
  const asked = entryWarnings({
    kind: 'service-defaults',
    name: 'web',
    mode: 'transparent',
    mutual_tls_mode: 'permissive',
    Expose: [{ Checks: true }],
    UpstreamConfig: { Overrides: [{ Name: 'a' }, { Name: 'b', MeshGateway: { Mode: 'local' } }] },
  });
  expect(asked.map((text) => text.split(' ')[0])).toEqual([
    'Expose.Checks',
    'Mode',
    'MutualTLSMode',
    'UpstreamConfig.Overrides.MeshGateway.Mode',
  ]);
  expect(asked[2]).toBe('MutualTLSMode has no effect: sidecars stay strict');
});

it('is silent about what asks for nothing', () => {
  const quiet = {
    Kind: 'service-defaults',
    Name: 'web',
    Protocol: 'http',
    Mode: 'direct',
    MutualTLSMode: 'strict',
    MeshGateway: { Mode: 'none' },
    Expose: { Checks: false, Paths: [{ Path: '/a' }] },
    EnvoyExtensions: [],
    TransparentProxy: {},
  };
  expect(entryWarnings(quiet)).toEqual([]);
});
