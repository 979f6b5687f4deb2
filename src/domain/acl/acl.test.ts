import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock, settle } from '../../../test/fakes/fake-clock.ts';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { ServerProcess } from '../../../test/fakes/server-process.ts';
import { soleLeader } from '../../../test/fakes/sole-leader.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { ANONYMOUS_ID, GLOBAL_MANAGEMENT_ID, GLOBAL_READ_ONLY_ID, REPLICATION_ROLE } from '../../model/acl.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { type Acl, type AclOptions, createAcl } from './acl.ts';
import type { PrimaryTokens } from './token-resolver.ts';

const OPTIONS: AclOptions = {
  enabled: true,
  defaultPolicy: 'deny',
  downPolicy: 'extend-cache',
  ttlMs: 30_000,
  agentMaster: () => '',
  initialManagement: 'root-token',
};

const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log } as never;
const signal = new AbortController().signal;
const ends: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

interface Setup extends Partial<AclOptions> {
  readonly datacenter?: string;
  readonly primary?: PrimaryTokens;
  readonly reset?: () => string | undefined;
}

async function start({ datacenter = 'dc1', primary, reset, ...options }: Setup = {}) {
  const clock = new FakeClock();
  const store = memoryStore();
  const acl = createAcl(
    {
      store,
      leadership: soleLeader(store, clock),
      clock,
      log,
      datacenter,
      primaryDatacenter: 'dc1',
      node: 'n1',
      resetFile: { read: () => reset?.(), remove: () => undefined },
      ...(primary === undefined ? {} : { primary }),
    },
    { ...OPTIONS, ...options },
  );
  await store.start(signal);
  await acl.service.start(signal);
  ends.push(async () => {
    await acl.service.stop();
    await store.stop();
  });
  return { acl, clock, store };
}

const failure = async (run: () => unknown): Promise<string> => {
  try {
    await run();
  } catch (error) {
    expect(error).toBeInstanceOf(IsthmusError);
    return `${(error as IsthmusError).code}: ${(error as IsthmusError).message}`;
  }
  return 'done';
};

async function tokenWith(acl: Acl, rules: string) {
  const policy = await acl.policies.set({ Name: `p${acl.tables.policies.size}`, Rules: rules });
  return acl.tokens.create({ Policies: [{ ID: policy.ID }] });
}

describe('tokens', () => {
  it('starts with the built-ins and the initial management token, and may not be bootstrapped again', async () => {
    const { acl } = await start();
    const all = acl.reads['acl.tokens'].produce({});
    expect(all.map((token) => token.Description).sort()).toEqual(['Anonymous Token', 'Master Token']);
    expect(JSON.stringify(all)).not.toContain('root-token');
    expect((await acl.tokenResolver.resolve('root-token', signal)).rights.everything).toBe(true);
    expect(await failure(() => acl.bootstrap())).toMatch(
      /^permission_denied: Permission denied: ACL bootstrap no longer allowed \(reset index: \d+\)$/,
    );
  });

  it('bootstraps once, and again when the reset file holds the index', async () => {
    let file: string | undefined;
    const { acl } = await start({ initialManagement: '', reset: () => file });
    const first = await acl.bootstrap();
    expect(first).toMatchObject({ ID: first.SecretID, Description: 'Bootstrap Token (Global Management)' });
    const index = /index: (\d+)/.exec(await failure(() => acl.bootstrap()))?.[1];
    file = '1';
    expect(await failure(() => acl.bootstrap())).toContain('no longer allowed');
    file = `${index}\n`;
    const second = await acl.bootstrap();
    expect(second.SecretID).not.toBe(first.SecretID);
    expect(acl.tokenResolver.peek(second.SecretID)?.rights.everything).toBe(true);
  });

  it('creates, updates, clones and deletes', async () => {
    const { acl } = await start();
    const policy = await acl.policies.set({ Name: 'web', Rules: 'service "web" { policy = "write" }' });
    const token = await acl.tokens.create({ Description: 'a', Policies: [{ Name: 'web' }] });
    expect(token.Policies).toEqual([{ ID: policy.ID, Name: 'web' }]);
    const changed = await acl.tokens.update({
      AccessorID: token.AccessorID,
      Description: 'b',
      Policies: [{ Name: 'web' }],
    });
    expect(changed).toMatchObject({ SecretID: token.SecretID, CreateTime: token.CreateTime, Description: 'b' });
    expect(changed.Hash).not.toBe(token.Hash);
    const clone = await acl.tokens.clone(token.AccessorID, 'c');
    expect(clone).toMatchObject({ Description: 'c', Policies: token.Policies });
    expect(clone.SecretID).not.toBe(token.SecretID);
    expect(acl.tokenResolver.peek(token.SecretID)?.rights.may('service', 'web', 'write')).toBe(true);
    await acl.policies.delete(policy.ID);
    expect(acl.tokenResolver.peek(token.SecretID)?.rights.may('service', 'web', 'write')).toBe(false);
    expect(acl.reads['acl.token'].produce({ accessor: clone.AccessorID }).Policies).toBeUndefined();
    expect(await failure(() => acl.tokens.delete(token.AccessorID, token.AccessorID))).toContain('not permitted');
    await acl.tokens.delete(token.AccessorID, undefined);
    expect(await failure(() => acl.tokenResolver.resolve(token.SecretID, signal))).toBe(
      'permission_denied: ACL not found',
    );
  });

  it.each([
    [{ Policies: [{ Name: 'absent' }] }, 'rejected: No such ACL policy with name "absent"'],
    [{ Roles: [{ Name: 'absent' }] }, 'rejected: No such ACL role with name "absent"'],
    [{ SecretID: 'x' }, 'rejected: Invalid Token: SecretID is not a valid UUID'],
    [{ AccessorID: ANONYMOUS_ID }, 'rejected: UUIDs with the prefix "00000000-0000-0000-0000-0000000000" are reserved'],
    [{ ServiceIdentities: [{}] }, 'rejected: Service identity is missing the service name field on this token'],
    [{ ExpirationTTL: 1_000 }, 'rejected: ExpirationTime cannot be less than 1m0s in the future (was 1s)'],
    [{ ExpirationTTL: 90_000_000 }, 'rejected: ExpirationTime cannot be more than 24h0m0s in the future (was 25h0m0s)'],
  ])('refuses %j', async (input, text) => {
    const { acl } = await start();
    expect(await failure(() => acl.tokens.create(input))).toBe(text);
  });

  it('forgets a token the moment it expires, and deletes it later', async () => {
    const { acl, clock } = await start();
    const token = await acl.tokens.create({ ExpirationTTL: 60_000, Local: true });
    expect(acl.tokenResolver.peek(token.SecretID)?.accessor).toBe(token.AccessorID);
    await clock.advance(60_000);
    expect(await failure(() => acl.tokenResolver.resolve(token.SecretID, signal))).toBe(
      'permission_denied: ACL not found',
    );
    expect(await failure(() => acl.reads['acl.token'].produce({ accessor: token.AccessorID }))).toContain(
      'ACL not found',
    );
    expect(await acl.tokens.reap([acl.tables.localTokens])).toBeLessThanOrEqual(1);
    expect(acl.tables.localTokens.get(token.AccessorID)).toBeUndefined();
  });
});

describe('the token of the configuration', () => {
  it('is made once by servers that start at the same time', async () => {
    const clock = new FakeClock();
    const engine = new MemoryEngine(clock);
    const open = async (initialManagement: string) => {
      const process = new ServerProcess(clock, engine);
      const store = new Store({ engine: process, clock, onError: () => undefined });
      const acl = createAcl(
        {
          store,
          leadership: soleLeader(store, clock),
          clock,
          log,
          datacenter: 'dc1',
          primaryDatacenter: 'dc1',
          node: 'n1',
          resetFile: { read: () => undefined, remove: () => undefined },
        },
        { ...OPTIONS, initialManagement },
      );
      await store.start(signal);
      ends.push(async () => {
        await acl.service.stop();
        await store.stop();
      });
      return { acl, process };
    };
    await (await open('')).acl.service.start(signal);
    const servers = [await open('root'), await open('root')];
    for (const { process } of servers) process.lag(); // neither sees what the other one does
    const starting = servers.map(({ acl }) => acl.service.start(signal));
    await settle();
    for (const { process } of servers) process.catchUp();
    await Promise.all(starting);
    for (const { acl } of servers) {
      const tokens = acl.reads['acl.tokens'].produce({}).map(({ Description }) => Description);
      expect(tokens.sort()).toEqual(['Anonymous Token', 'Master Token']);
    }
  });
});

describe('policies and roles', () => {
  it.each([
    [{ Name: 'a b' }, "rejected: Invalid Policy: invalid Name. Only alphanumeric characters, '-' and '_' are allowed"],
    [{}, 'rejected: Invalid Policy: no Name is set'],
    [{ Name: 'global-management' }, 'rejected: Invalid Policy: A Policy with Name "global-management" already exists'],
    [{ Name: 'x', Rules: 'acl = "fly"' }, 'rejected: Invalid acl policy: "fly"'],
  ])('refuses the policy %j', async (input, text) => {
    const { acl } = await start();
    expect(await failure(() => acl.policies.set(input))).toBe(text);
  });

  it('gives a name to one of those who ask for it at once', async () => {
    const { acl } = await start();
    const outcomes = await Promise.all(
      [1, 2, 3].map((n) => failure(() => acl.policies.set({ Name: 'one', Description: String(n) }))),
    );
    expect(outcomes.filter((outcome) => outcome === 'done').length).toBe(1);
    expect(acl.tables.policies.by('name', 'one').length).toBe(1);
  });

  it('protects the built-in policy', async () => {
    const { acl } = await start();
    expect(await failure(() => acl.policies.delete(GLOBAL_MANAGEMENT_ID))).toBe(
      'rejected: Delete operation not permitted on the builtin global-management policy',
    );
    expect(
      await failure(() => acl.policies.set({ ID: GLOBAL_MANAGEMENT_ID, Name: 'global-management', Rules: '' })),
    ).toContain('Changing the Rules');
  });

  it('lets a role grant policies and identities, each in its datacenters', async () => {
    const { acl } = await start();
    await acl.policies.set({ Name: 'here', Rules: 'key "a" { policy = "read" }', Datacenters: ['dc1'] });
    await acl.policies.set({ Name: 'there', Rules: 'key "b" { policy = "read" }', Datacenters: ['dc2'] });
    await acl.roles.set({
      Name: 'r',
      Policies: [{ Name: 'here' }, { Name: 'there' }],
      ServiceIdentities: [{ ServiceName: 'web' }, { ServiceName: 'db', Datacenters: ['dc2'] }],
      NodeIdentities: [{ NodeName: 'n1', Datacenter: 'dc1' }],
    });
    const { SecretID } = await acl.tokens.create({ Roles: [{ Name: 'r' }] });
    const rights = acl.tokenResolver.peek(SecretID)!.rights;
    expect(rights.may('key', 'a', 'read')).toBe(true);
    expect(rights.may('key', 'b', 'read')).toBe(false);
    expect(rights.may('service', 'web-sidecar-proxy', 'write')).toBe(true);
    expect(rights.may('service', 'db', 'write')).toBe(false);
    expect(rights.may('service', 'db', 'read')).toBe(true);
    expect(rights.may('node', 'n1', 'write')).toBe(true);
  });

  it('has a role that suffices for replication and cannot write', async () => {
    const { acl } = await start();
    const { SecretID, Roles } = await acl.tokens.create({ Roles: [{ Name: REPLICATION_ROLE }] });
    expect(Roles?.[0]?.Name).toBe(REPLICATION_ROLE);
    const rights = acl.tokenResolver.peek(SecretID)!.rights;
    expect(rights.replication).toBe(true);
    expect(rights.mayAll('intention', 'read')).toBe(true);
    for (const resource of ['acl', 'operator', 'service', 'intention'] as const)
      expect(rights.may(resource, 'x', 'write')).toBe(false);
    expect(acl.reads['acl.roles'].produce({})).toEqual([]);
  });
});

describe('rights', () => {
  it('decides by the exact rule, then the longest prefix, then the default', async () => {
    const { acl } = await start();
    const { SecretID } = await tokenWith(
      acl,
      `service_prefix "" { policy = "read" } service_prefix "web" { policy = "deny" }
       service "web" { policy = "write" intentions = "write" } service_prefix "web-x" { policy = "read" }`,
    );
    const may = (name: string, access: 'read' | 'write') =>
      acl.tokenResolver.peek(SecretID)!.rights.may('service', name, access);
    expect([may('web', 'write'), may('web-1', 'read'), may('web-x1', 'read'), may('db', 'read')]).toEqual([
      true,
      false,
      true,
      true,
    ]);
    const rights = acl.tokenResolver.peek(SecretID)!.rights;
    expect([rights.may('intention', '*', 'read'), rights.may('intention', '*', 'write')]).toEqual([true, false]);
    expect(rights.may('intention', 'web', 'write')).toBe(true);
    expect(rights.mayAll('service', 'read')).toBe(false);
    expect(rights.may('acl', '', 'read')).toBe(false);
  });

  it('lets deny win over write over read between policies', async () => {
    const { acl } = await start();
    for (const [name, level] of [
      ['r', 'read'],
      ['w', 'write'],
      ['d', 'deny'],
    ] as const)
      await acl.policies.set({ Name: name, Rules: JSON.stringify({ node: { a: { policy: level } } }) });
    const both = await acl.tokens.create({ Policies: [{ Name: 'r' }, { Name: 'w' }] });
    const all = await acl.tokens.create({ Policies: [{ Name: 'r' }, { Name: 'w' }, { Name: 'd' }] });
    expect(acl.tokenResolver.peek(both.SecretID)!.rights.may('node', 'a', 'write')).toBe(true);
    expect(acl.tokenResolver.peek(all.SecretID)!.rights.may('node', 'a', 'read')).toBe(false);
  });

  it('gives a default of allow everything but the ACLs themselves', async () => {
    const { acl } = await start({ defaultPolicy: 'allow' });
    const { rights } = acl.tokenResolver.peek('')!;
    expect(rights.may('service', 'x', 'write')).toBe(true);
    expect(rights.may('acl', '', 'read')).toBe(false);
  });
});

describe('a secondary', () => {
  const remote = {
    AccessorID: 'a1',
    SecretID: 's1',
    Description: '',
    Local: false,
    CreateTime: '',
    Hash: '',
    CreateIndex: 1,
    ModifyIndex: 1,
  };

  it('asks the primary for a token that it does not know, and never keeps a miss', async () => {
    let exists = false;
    const primary: PrimaryTokens = {
      async self() {
        if (!exists) throw new IsthmusError('permission_denied', 'ACL not found');
        return { token: { ...remote, Policies: [{ ID: GLOBAL_MANAGEMENT_ID }] }, revision: 1 };
      },
      linksArrived: async () => undefined,
    };
    const { acl } = await start({ datacenter: 'dc2', primary });
    expect(await failure(() => acl.tokenResolver.resolve('s1', signal))).toBe('permission_denied: ACL not found');
    exists = true;
    expect((await acl.tokenResolver.resolve('s1', signal)).rights.everything).toBe(true);
  });

  it('asks again for what it keeps after its time, whatever the clock was set to', async () => {
    let asked = 0;
    const primary: PrimaryTokens = {
      async self(secret) {
        asked += 1;
        return { token: { ...remote, SecretID: secret }, revision: 1 };
      },
      linksArrived: async () => undefined,
    };
    const { acl, clock } = await start({ datacenter: 'dc2', primary });
    const age = async () => (await acl.tokenResolver.resolve('s1', signal)).ageMs ?? 0;
    await age();
    for (const by of [86_400_000, -172_800_000]) {
      await clock.set(by);
      await clock.advance(10_000);
      expect(await age()).toBeLessThan(30_000);
    }
    expect(asked).toBe(1);
    await clock.advance(11_000);
    await age();
    expect(asked).toBe(2);
  });

  it.each([
    ['extend-cache', true, false],
    ['async-cache', true, false],
    ['deny', false, false],
    ['allow', true, true],
  ] as const)('with the primary away follows %s', async (downPolicy, known, unknown) => {
    let away = false;
    const primary: PrimaryTokens = {
      async self(secret) {
        if (away) throw new IsthmusError('no_path', 'no path to datacenter');
        return { token: { ...remote, SecretID: secret, ServiceIdentities: [{ ServiceName: 'web' }] }, revision: 1 };
      },
      linksArrived: async () => undefined,
    };
    const { acl, clock } = await start({ datacenter: 'dc2', primary, downPolicy });
    await acl.tokenResolver.resolve('s1', signal);
    away = true;
    await clock.advance(60_000);
    const may = async (secret: string) =>
      (await acl.tokenResolver.resolve(secret, signal)).rights.may('service', 'web', 'write');
    expect([await may('s1'), await may('s2')]).toEqual([known, unknown]);
  });
});

describe('templated policies', () => {
  it('grant what their template says with the name filled in, by tokens and roles, in their datacenters', async () => {
    const { acl } = await start();
    const service = { TemplateName: 'builtin/service', TemplateVariables: { Name: 'web' } };
    const token = await acl.tokens.create({ TemplatedPolicies: [service] });
    expect(token.TemplatedPolicies).toEqual([service]);
    const { rights } = await acl.tokenResolver.resolve(token.SecretID, signal);
    expect(rights.may('service', 'web', 'write')).toBe(true);
    expect(rights.may('service', 'web-sidecar-proxy', 'write')).toBe(true);
    expect(rights.may('service', 'db', 'read')).toBe(true);
    expect(rights.may('service', 'db', 'write')).toBe(false);
    expect(rights.may('acl', '', 'read')).toBe(false);
    const node = { TemplateName: 'builtin/node', TemplateVariables: { Name: 'n1' } };
    await acl.roles.set({
      Name: 'r',
      TemplatedPolicies: [node, { TemplateName: 'builtin/dns', Datacenters: ['dc9'] }],
    });
    const byRole = await acl.tokens.create({ Roles: [{ Name: 'r' }] });
    const ofRole = (await acl.tokenResolver.resolve(byRole.SecretID, signal)).rights;
    expect(ofRole.may('node', 'n1', 'write')).toBe(true);
    expect(ofRole.may('query', 'q', 'read')).toBe(false);
    const clone = await acl.tokens.clone(token.AccessorID, undefined);
    expect(clone.TemplatedPolicies).toEqual([service]);
    await acl.tokens.update({ AccessorID: token.AccessorID });
    expect((await acl.tokenResolver.resolve(token.SecretID, signal)).rights.may('service', 'web', 'write')).toBe(false);
  });

  it('are refused when they are none, lack their name, or name something that would be more than a name', async () => {
    const { acl } = await start();
    const refused = (policy: object) => failure(() => acl.tokens.create({ TemplatedPolicies: [policy] }));
    expect(await refused({ TemplateName: 'builtin/root' })).toBe(
      'rejected: no such ACL templated policy with Name "builtin/root"',
    );
    expect(await refused({ TemplateName: '__proto__' })).toContain('no such ACL templated policy');
    expect(await refused({})).toContain('missing the template name');
    for (const Name of [undefined, '', 'a" { policy = "read" } acl = "write', 'UPPER', '${x}'])
      expect(await refused({ TemplateName: 'builtin/service', TemplateVariables: { Name } })).toContain(
        'has an invalid name variable',
      );
    expect(
      await failure(() =>
        acl.tokens.create({ Local: true, TemplatedPolicies: [{ TemplateName: 'builtin/dns', Datacenters: ['dc1'] }] }),
      ),
    ).toContain('cannot specify a list of datacenters on a local token');
  });

  it('lists tokens by the service of an identity or a template', async () => {
    const { acl } = await start();
    const byIdentity = await acl.tokens.create({ ServiceIdentities: [{ ServiceName: 'web' }] });
    const byTemplate = await acl.tokens.create({
      TemplatedPolicies: [{ TemplateName: 'builtin/service', TemplateVariables: { Name: 'web' } }],
    });
    await acl.tokens.create({
      TemplatedPolicies: [{ TemplateName: 'builtin/node', TemplateVariables: { Name: 'web' } }],
    });
    const found = acl.reads['acl.tokens'].produce({ serviceName: 'web' }).map(({ AccessorID }) => AccessorID);
    expect([...found].sort()).toEqual([byIdentity.AccessorID, byTemplate.AccessorID].sort());
  });
});

describe('the built-in policy that reads everything', () => {
  it('reads every resource and writes none, and can be neither changed nor deleted', async () => {
    const { acl } = await start();
    const token = await acl.tokens.create({ Policies: [{ Name: 'builtin/global-read-only' }] });
    const { rights } = await acl.tokenResolver.resolve(token.SecretID, signal);
    for (const resource of [
      'acl',
      'agent',
      'event',
      'intention',
      'key',
      'keyring',
      'node',
      'operator',
      'query',
      'service',
      'session',
    ] as const) {
      expect(rights.may(resource, 'any', 'read'), resource).toBe(true);
      expect(rights.may(resource, 'any', 'write'), resource).toBe(false);
    }
    expect(rights.everything).toBe(false);
    const id = GLOBAL_READ_ONLY_ID;
    expect(await failure(() => acl.policies.delete(id))).toContain(
      'not permitted on the builtin builtin/global-read-only',
    );
    expect(
      await failure(() => acl.policies.set({ ID: id, Name: 'builtin/global-read-only', Rules: 'acl = "write"' })),
    ).toContain('Changing the Rules');
  });
});
