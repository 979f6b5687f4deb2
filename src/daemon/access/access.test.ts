import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import { soleLeader } from '../../../test/fakes/sole-leader.ts';
import { type Acl, createAcl } from '../../domain/acl/acl.ts';
import type { IsthmusError } from '../../lib/errors.ts';
import { REPLICATION_ROLE } from '../../model/acl.ts';
import { ACL_POLICIES, ACL_TOKENS, CONFIG_ENTRIES } from '../../model/replication.ts';
import type { ChangeSource } from '../../rpc/contract/changes.ts';
import type { CallOptions, ServerContract } from '../../rpc/contract/contract.ts';
import { guardChanges, withToken } from './access.ts';

const signal = new AbortController().signal;
const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log } as never;
let acl: Acl;
let stop: () => Promise<void>;

beforeAll(async () => {
  const store = memoryStore();
  const clock = new FakeClock();
  acl = createAcl(
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
    {
      enabled: true,
      defaultPolicy: 'deny',
      downPolicy: 'deny',
      ttlMs: 1,
      agentMaster: () => '',
      initialManagement: 'root',
    },
  );
  await store.start(signal);
  await acl.service.start(signal);
  stop = async () => {
    await acl.service.stop();
    await store.stop();
  };
});

afterAll(() => stop());

/** Says one thing, then is silent until its signal aborts. */
const source: ChangeSource = {
  async *changes(_request, until) {
    yield { type: 'progress', revision: 1 };
    await new Promise((_resolve, reject) => {
      until.addEventListener('abort', () => reject(until.reason), { once: true });
    });
  },
};

/** Ended after each test: one that is left open keeps its listener on `signal`. */
const following: AsyncIterator<unknown>[] = [];
afterEach(async () => {
  for (const iterator of following.splice(0)) await iterator.return?.();
});

async function follow(kind: string, token?: string) {
  const messages = guardChanges(source, acl.tokenResolver).changes({ kind, ...(token && { token }) }, signal);
  const iterator = messages[Symbol.asyncIterator]();
  const told = (thrown: unknown): string => (thrown as IsthmusError).message;
  const first = await iterator.next().then(({ value }) => JSON.stringify(value), told);
  following.push(iterator);
  return { first, end: () => iterator.next().then(() => 'more', told) };
}

async function secretWith(rules: string): Promise<string> {
  const { ID } = await acl.policies.set({ Name: `p${acl.tables.policies.size}`, Rules: rules });
  return (await acl.tokens.create({ Policies: [{ ID }] })).SecretID;
}

const MORE = JSON.stringify({ type: 'progress', revision: 1 });

describe('who may follow a table', () => {
  it('tells every right that is missing', async () => {
    expect((await follow(CONFIG_ENTRIES)).first).toBe(
      'the replication token lacks service_prefix "" read and service_prefix "" intentions read, which ' +
        'config-entries take; the role builtin/replication has all rights',
    );
    const reader = await secretWith('acl = "read"');
    expect((await follow(ACL_TOKENS, reader)).first).toContain('lacks acl write, which acl-tokens take');
    expect((await follow(ACL_POLICIES, reader)).first).toBe(MORE);
    expect((await follow(ACL_POLICIES, 'unknown')).first).toBe('ACL not found');
  });

  it('is everybody with the role, and Consul’s rules', async () => {
    const { SecretID } = await acl.tokens.create({ Roles: [{ Name: REPLICATION_ROLE }] });
    const peer = await secretWith(
      'acl = "write" operator = "write" service_prefix "" { policy = "read" intentions = "read" }',
    );
    for (const token of [SecretID, peer, 'root'])
      for (const kind of [CONFIG_ENTRIES, ACL_POLICIES, ACL_TOKENS])
        expect((await follow(kind, token)).first).toBe(MORE);
  });

  it('ends with the token', async () => {
    const { SecretID, AccessorID } = await acl.tokens.create({ Roles: [{ Name: REPLICATION_ROLE }] });
    const { first, end } = await follow(ACL_TOKENS, SecretID);
    expect(first).toBe(MORE);
    const ended = end();
    await acl.tokens.delete(AccessorID, undefined);
    expect(await ended).toContain('the replication token lacks being known');
  });
});

describe('calls', () => {
  it('get the agent’s token when they have none', async () => {
    const seen: (string | undefined)[] = [];
    const contract = {
      async read(_name: string, _args: unknown, options: CallOptions) {
        seen.push(options.token);
      },
    } as unknown as ServerContract;
    const filled = withToken(contract, () => 'own');
    await filled.read('catalog.nodes', {}, { signal });
    await filled.read('catalog.nodes', {}, { signal, token: '' });
    await filled.read('catalog.nodes', {}, { signal, token: 'given' });
    await withToken(contract, () => undefined).read('catalog.nodes', {}, { signal });
    expect(seen).toEqual(['own', 'own', 'given', undefined]);
  });
});
