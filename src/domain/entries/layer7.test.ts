import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { compilePermissions, compileProviders } from '../../model/layer7/compile-permissions.ts';
import { compileRoutes } from '../../model/layer7/compile-routes.ts';
import { createIntentions } from '../intentions/intentions.ts';
import { createEntries } from './entries.ts';

/** What each kind takes and refuses, in Consul's words where it has them. */

function start() {
  const store = memoryStore();
  const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => 'td.consul' });
  const intentions = createIntentions({
    store,
    entries: entries.intentionEntries,
    datacenter: 'dc1',
    defaultPolicy: 'deny',
    clock: new FakeClock(),
  });
  const apply = (entry: unknown) => entries.apply({ entry });
  const get = (kind: string, name: string) => entries.reads['config.get'].produce({ kind, name });
  return { store, entries, intentions, apply, get };
}

let world = start();
beforeEach(async () => {
  world = start();
  await world.store.start(new AbortController().signal);
  await world.apply({ Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' } });
});
afterAll(() => world.store.stop());

const KEYS = btoa(JSON.stringify({ keys: [] }));
const HASHED = { Policy: 'ring_hash' };
const router = (http: unknown, destination: unknown = {}) => ({
  Kind: 'service-router',
  Name: 'web',
  Routes: [{ Match: { HTTP: http }, Destination: destination }],
});
const balancer = (LoadBalancer: unknown) => ({ Kind: 'service-resolver', Name: 'web', LoadBalancer });
const failover = (fields: unknown) => ({ Kind: 'service-resolver', Name: 'web', Failover: { '*': fields } });
const defaults = (fields: object) => ({ Kind: 'service-defaults', Name: 'web', ...fields });
const extension = (name: string, Arguments: object) => ({
  EnvoyExtensions: [{ Name: `builtin/${name}`, Arguments }],
});
const lua = (args: object) => extension('lua', args);
const mesh = (fields: object) => ({ Kind: 'mesh', ...fields });
const jwt = (fields: object) => ({
  Kind: 'jwt-provider',
  Name: 'okta',
  JSONWebKeySet: { Local: { JWKS: KEYS } },
  ...fields,
});
const permission = (fields: object) => ({
  Kind: 'service-intentions',
  Name: 'web',
  Sources: [{ Name: 'shop', Permissions: [{ Action: 'allow', HTTP: { PathPrefix: '/' }, ...fields }] }],
});

describe('a configuration entry is refused', () => {
  it.each<[unknown, string]>([
    [router({ PathRegex: '(?=a)' }), 'Route[0] PathRegex is not a valid regular expression (RE2)'],
    [router({ Header: [{ Name: 'a' }] }), 'Route[0] Header[0] should only contain one of'],
    [router({ Header: [{ Name: 'a', Contains: 'x', Exact: 'y' }] }), 'Route[0] Header[0] should only contain one of'],
    [router({ QueryParam: [{ Name: 'a', Regex: '[' }] }), 'QueryParam[0] Regex is not a valid'],
    [router({}, { RetryOn: ['sometimes'] }), 'Route[0] contains an invalid retry condition: "sometimes"'],
    [balancer({ Policy: 'bogus' }), 'Bad LoadBalancer policy: "bogus" is not supported'],
    [
      balancer({ ...HASHED, HashPolicies: [{ Field: 'header' }] }),
      'HashPolicy[0]: Field "header" was specified without',
    ],
    [balancer({ ...HASHED, HashPolicies: [{ Field: 'x', FieldValue: 'y' }] }), '"x" is not a supported field'],
    [balancer({ Policy: 'random', HashPolicies: [{ SourceIP: true }] }), 'non-hash-based Policy: "random"'],
    [
      balancer({ ...HASHED, HashPolicies: [{ SourceIP: true, Field: 'header', FieldValue: 'x' }] }),
      'A single hash policy cannot hash both a source address and a "header"',
    ],
    [
      balancer({ Policy: 'round_robin', RingHashConfig: { MinimumRingSize: 1 } }),
      'RingHashConfig specified for incompatible load balancing policy "round_robin"',
    ],
    [
      balancer({
        ...HASHED,
        HashPolicies: [{ Field: 'cookie', FieldValue: 'a', CookieConfig: { Session: true, TTL: '1s' } }],
      }),
      'a session cookie cannot have an associated TTL',
    ],
    [failover({ Targets: [{ Datacenter: 'dc2' }], Service: 'x' }), 'Targets cannot be set with Service'],
    [failover({ Targets: [{}] }), 'Targets[0]: one of Service, ServiceSubset, or Datacenter is required'],
    [failover({ Targets: [{ Peer: 'x' }] }), 'there are no peers here'],
    [failover({ SamenessGroup: 'x' }), 'there are no sameness groups here'],
    [failover({ Datacenters: ['dc2'], Policy: { Mode: 'nearest' } }), 'Policy.Mode must be one of'],
    [defaults({ MutualTLSMode: 'permissive' }), 'AllowEnablingPermissiveMutualTLS=false'],
    [defaults({ BalanceInboundConnections: 'x' }), 'invalid BalanceInboundConnections "x"'],
    [defaults({ RateLimits: { InstanceLevel: { Routes: [{ RequestsPerSecond: 1 }] } } }), 'exactly one of PathExact'],
    [defaults({ EnvoyExtensions: [{ Name: 'mine' }] }), 'is not a built-in extension'],
    [defaults({ EnvoyExtensions: [{ Name: 'builtin/aws/lambda' }] }), 'terminating gateway, which is not offered yet'],
    [defaults(lua({ Script: 'x' })), 'EnvoyExtensions[0].Arguments.ListenerType must be one of inbound, outbound'],
    [defaults(lua({ Listener: 'inbound', Script: 'x', Other: 1 })), 'Arguments.Other is not known'],
    [defaults(lua({ Listener: 'inbound', Script: 'x', ProxyType: 'api-gateway' })), 'ProxyType must be one of'],
    [
      defaults(extension('ext-authz', { Config: { HttpService: { Target: { URI: '10.0.0.1:80' } } } })),
      'Target.URI must be localhost:PORT',
    ],
    [defaults(extension('ext-authz', { Config: {} })), 'exactly one of GrpcService and HttpService'],
    [defaults(extension('otel-access-logging', { Config: {} })), 'Config.GrpcService is missing'],
    [defaults(extension('property-override', {})), 'Patches must have at least one'],
    [
      defaults(
        extension('property-override', {
          Patches: [
            { ResourceFilter: { ResourceType: 'cluster', TrafficDirection: 'inbound' }, Op: 'add', Path: '/a' },
          ],
        }),
      ),
      'Patches[0].Value is missing',
    ],
    [
      defaults(
        extension('wasm', { Protocol: 'http', ListenerType: 'inbound', PluginConfig: { VmConfig: { Code: {} } } }),
      ),
      'Code must have exactly one of Local and Remote',
    ],
    [defaults({ Destination: { Addresses: ['*.x'], Port: 1 } }), 'Could not validate address'],
    [defaults({ UpstreamConfig: { Defaults: { Name: 'x' } } }), 'upstream defaults: Name must be empty'],
    [defaults({ UpstreamConfig: { Overrides: [{ Name: 'x', EnvoyClusterJSON: '{' }] } }), 'is not valid JSON'],
    [defaults({ MeshGateway: { Mode: 'near' } }), 'invalid MeshGateway.Mode "near"'],
    [{ Kind: 'proxy-defaults', Name: 'global', AccessLogs: { Type: 'file' } }, 'path must be specified'],
    [{ Kind: 'proxy-defaults', Name: 'global', AccessLogs: { JSONFormat: '[]' } }, 'invalid access log json'],
    [mesh({ Name: 'other' }), 'only "mesh" is supported'],
    [
      mesh({ TLS: { Incoming: { TLSMinVersion: 'TLSv1_3', TLSMaxVersion: 'TLSv1_2' } } }),
      'max version TLSv1_2 less than',
    ],
    [mesh({ TLS: { Outgoing: { CipherSuites: ['X'] } } }), 'error in outgoing TLS configuration: no matching cipher'],
    [
      mesh({ HTTP: { Incoming: { RequestNormalization: { HeadersWithUnderscoresAction: 'X' } } } }),
      'invalid HeadersWith',
    ],
    [jwt({ JSONWebKeySet: {} }), 'exactly one of Local or Remote'],
    [jwt({ JSONWebKeySet: { Local: { JWKS: '%' } } }), 'JWKS must be valid base64'],
    [jwt({ JSONWebKeySet: { Local: { JWKS: btoa('{}') } } }), 'JWKS must be a key set'],
    [jwt({ JSONWebKeySet: { Remote: { URI: 'file:///x' } } }), 'Remote JWKS URI is invalid'],
    [jwt({ Locations: [{ Header: { Name: 'a' }, Cookie: { Name: 'b' } }] }), 'must set exactly one of: JWT location'],
    [permission({ HTTP: { Methods: ['GET', 'GET'] } }), 'HTTP.Methods contains "GET" more than once'],
    [permission({ HTTP: { Header: [{ Exact: 'a' }] } }), 'HTTP.Header[0] missing required Name field'],
    [
      permission({ HTTP: { Header: [{ Name: 'a' }] } }),
      'should only contain one of Present, Exact, Prefix, Suffix, or Regex',
    ],
    [permission({ HTTP: { Header: [{ Name: 'a', Regex: 'x', IgnoreCase: true }] } }), 'when using IgnoreCase'],
    [permission({ HTTP: { PathRegex: '(' } }), 'HTTP.PathRegex is not a valid regular expression'],
    [
      permission({ JWT: { Providers: [{ Name: 'okta' }] } }),
      'Referenced JWT Provider does not exist. Provider Name: okta',
    ],
    [permission({ JWT: {} }), 'at least one provider is required'],
  ])('%j', async (entry, text) => {
    await expect(world.apply(entry)).rejects.toThrow(text);
  });
});

describe('a configuration entry', () => {
  it('keeps all that it says, also when it is written again as it was read', async () => {
    const { apply, get } = world;
    const written: readonly { readonly Kind: string; readonly Name?: string }[] = [
      mesh({ Name: 'mesh', TLS: { Incoming: { TLSMinVersion: 'TLSv1_2' } }, ValidateClusters: true }),
      jwt({ Issuer: 'https://okta', Audiences: ['a'], ClockSkewSeconds: 5, CacheConfig: { Size: 9 } }),
      defaults({
        Protocol: 'http',
        LocalRequestTimeoutMs: 5,
        RateLimits: { InstanceLevel: { RequestsPerSecond: 5, Routes: [{ PathPrefix: '/a', RequestsPerSecond: 1 }] } },
        EnvoyExtensions: [
          { Name: 'builtin/lua', Arguments: { ProxyType: 'connect-proxy', Listener: 'inbound', Script: 'x' } },
        ],
        UpstreamConfig: { Overrides: [{ Name: 'api', Protocol: 'grpc', MeshGateway: { Mode: 'local' } }] },
      }),
      router(
        { PathPrefix: '/a', CaseInsensitive: true, Header: [{ Name: 'x', Contains: 'y', Invert: true }] },
        { IdleTimeout: '5s', RetryOn: ['reset'], RequestHeaders: { Set: { A: 'b' }, Remove: ['C'] } },
      ),
    ];
    for (const entry of written) {
      await apply(entry);
      const shown = get(entry.Kind, entry.Name ?? 'mesh');
      expect(shown).toMatchObject(entry);
      await apply({ ...shown, Hash: 7 });
      expect(get(entry.Kind, entry.Name ?? 'mesh')).toEqual({ ...shown, ModifyIndex: expect.any(Number) });
    }
  });

  it('takes another spelling of its keys', async () => {
    await world.apply({ kind: 'mesh', tls: { incoming: { tls_min_version: 'TLSv1_3' } } });
    expect(world.get('mesh', 'mesh')).toMatchObject({ TLS: { Incoming: { TLSMinVersion: 'TLSv1_3' } } });
  });
});

describe('requests', () => {
  it('follow failover targets, split headers and the resolver’s time', async () => {
    const { apply, entries } = world;
    await apply({
      Kind: 'proxy-defaults',
      Name: 'global',
      Config: { protocol: 'http' },
      FailoverPolicy: { Mode: 'sequential' },
    });
    await apply({
      Kind: 'service-resolver',
      Name: 'api',
      RequestTimeout: '9s',
      Subsets: { v1: { OnlyPassing: true } },
      Failover: { '*': { Targets: [{ Datacenter: 'dc2' }, { Service: 'spare' }, { ServiceSubset: 'v1' }] } },
    });
    const api = entries.serviceTargets('api', 'dc1').requests;
    const table = compileRoutes(api?.chain as NonNullable<typeof api>['chain']);
    expect(table.routes[0]?.requestTimeoutMs).toBe(9_000);
    expect(table.destinations['api.default.dc1']).toMatchObject({
      targets: ['api.default.dc1', 'api.default.dc2', 'spare.default.dc1', 'v1.api.default.dc1'],
      failoverPolicy: { mode: 'sequential' },
    });
    const split = (Name: string, Splits: unknown) => apply({ Kind: 'service-splitter', Name, Splits });
    await split('inner', [{ Weight: 100, Service: 'api', RequestHeaders: { Set: { In: '1' } } }]);
    await split('web', [
      { Weight: 50, Service: 'inner', RequestHeaders: { Set: { Out: '1', In: '0' } } },
      { Weight: 50, Service: 'spare' },
    ]);
    const web = entries.serviceTargets('web', 'dc1').requests;
    const [route] = compileRoutes(web?.chain as NonNullable<typeof web>['chain']).routes;
    expect(route?.requestTimeoutMs).toBe(15_000);
    expect(route?.splits).toMatchObject([
      {
        destination: 'api.default.dc1',
        weight: 5_000,
        requestHeaders: {
          set: [
            ['out', '1'],
            ['in', '1'],
          ],
        },
      },
      { destination: 'spare.default.dc1', weight: 5_000, requestHeaders: { set: [] } },
    ]);
  });
});

describe('tokens', () => {
  const NEEDS = {
    ...permission({ JWT: { Providers: [{ Name: 'OKTA', VerifyClaims: [{ Path: ['a'], Value: 'b' }] }] } }),
    JWT: { Providers: [{ Name: 'okta' }] },
  };
  const verdicts = () => world.intentions.reads['intentions.verdicts'].produce({ destination: 'web' });

  it('are delivered with those that issue them, anew when these change; an issuer that is needed stays', async () => {
    const { apply, entries } = world;
    await apply(jwt({ Issuer: 'one' }));
    await apply(NEEDS);
    expect(compileProviders(verdicts()).get('okta')).toMatchObject({ issuer: 'one', clockSkewSeconds: 30 });
    expect(compilePermissions(verdicts()).rules[0]).toMatchObject({
      token: { providers: [{ name: 'okta' }] },
      decision: [{ token: { providers: [{ name: 'okta', claims: [{ path: ['a'], value: 'b' }] }] } }],
    });
    await apply(jwt({ Issuer: 'two' }));
    expect(compileProviders(verdicts()).get('okta')?.issuer).toBe('two');
    await expect(entries.delete({ kind: 'jwt-provider', name: 'okta' })).rejects.toThrow('referenced by an intention');
    await entries.delete({ kind: 'service-intentions', name: 'web' });
    await entries.delete({ kind: 'jwt-provider', name: 'okta' });
    expect(verdicts()).not.toHaveProperty('providers');
  });

  it('need a service of an HTTP protocol', async () => {
    await world.apply(jwt({}));
    await world.apply(defaults({ Protocol: 'tcp' }));
    await expect(world.apply({ ...NEEDS, Sources: [{ Name: 'a', Action: 'allow' }] })).rejects.toThrow(
      'incompatible with L7',
    );
  });
});

describe('plain text beside mutual TLS', () => {
  it('needs the leave of the mesh, which can’t be taken back while it is used', async () => {
    const { apply, entries } = world;
    await apply(mesh({ AllowEnablingPermissiveMutualTLS: true }));
    await apply(defaults({ MutualTLSMode: 'permissive' }));
    await expect(apply(mesh({}))).rejects.toThrow('service-defaults/web');
    await expect(entries.delete({ kind: 'mesh', name: 'mesh' })).rejects.toThrow('AllowEnablingPermissiveMutualTLS');
  });
});
