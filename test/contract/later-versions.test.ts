import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkPolicy, checkRole, checkToken } from '../../src/domain/acl/replicated.ts';
import { createEntries } from '../../src/domain/entries/entries.ts';
import {
  ChangesReplySchema,
  HelloSchema,
  ReadReplySchema,
  ReadRequestSchema,
  RestoreReplySchema,
  SnapshotPartSchema,
  WatchReplySchema,
  WriteRequestSchema,
} from '../../src/rpc/gen/isthmus/v1/isthmus_pb.ts';
import { decodeChanges } from '../../src/rpc/transport/changes-wire.ts';
import { MemoryEngine } from '../../src/store/memory/memory-engine.ts';
import { Store } from '../../src/store/store.ts';
import { FakeClock } from '../fakes/fake-clock.ts';

/** What a later version may add to what it sends and stores must survive this one. */

type Json = Record<string, unknown>;

/** Anywhere in an entity: a name that no version has used, with any JSON value. */
const name = fc.stringMatching(/^Later[A-Za-z]{1,8}$/);
const addition = fc.tuple(fc.nat(1_000), name, fc.jsonValue({ maxDepth: 2 }));

/** The objects within a value, itself first. Maps whose keys the user chooses are no place for new fields. */
function objectsIn(value: unknown, free: ReadonlySet<string>, key = ''): Json[] {
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item) => objectsIn(item, free, key));
  const own = free.has(key) ? [] : [value as Json];
  return [...own, ...Object.entries(value).flatMap(([field, item]) => objectsIn(item, free, field))];
}

function extended<T extends object>(
  entity: T,
  additions: readonly [number, string, unknown][],
  free: readonly string[],
): T {
  const copy = structuredClone(entity) as T;
  const places = objectsIn(copy, new Set(free));
  for (const [at, field, value] of additions) (places[at % places.length] as Json)[field] = value;
  return JSON.parse(JSON.stringify(copy)) as T;
}

const FREE = ['Meta', 'Config', 'Subsets', 'Failover'];

const ENTRIES: Json[] = [
  { Kind: 'proxy-defaults', Name: 'global', Config: { protocol: 'http' }, MeshGateway: {}, Expose: {} },
  { Kind: 'service-defaults', Name: 'web', Protocol: 'http', MeshGateway: {}, Expose: {} },
  {
    Kind: 'service-resolver',
    Name: 'web',
    DefaultSubset: 'v1',
    Subsets: { v1: { Filter: 'Service.Meta.version == v1' } },
    Failover: { '*': { Datacenters: ['dc2'] } },
  },
  { Kind: 'service-splitter', Name: 'web', Splits: [{ Weight: 100 }] },
  {
    Kind: 'service-intentions',
    Name: 'web',
    Sources: [{ Name: 'db', Action: 'deny', Precedence: 9, Type: 'consul' }],
  },
];

describe('entities of a later version', () => {
  it.each(ENTRIES.map((entry) => [String(entry.Kind), entry] as const))('%s', async (_kind, entry) => {
    await fc.assert(
      fc.asyncProperty(fc.array(addition, { minLength: 1, maxLength: 4 }), async (additions) => {
        const clock = new FakeClock();
        const engine = new MemoryEngine(clock);
        const store = new Store({ engine, clock, onError: () => undefined });
        const entries = createEntries({ store, datacenter: 'dc1', trustDomain: () => '' });
        await store.start(new AbortController().signal);
        try {
          const later = extended(entry, additions, FREE);
          await store.transact((tx) => {
            if (entry.Kind === 'service-splitter')
              entries.applyReplicated(tx, { type: 'put', entry: { ...ENTRIES[1], Name: 'web' } });
          });
          await store.transact((tx) => entries.applyReplicated(tx, { type: 'put', entry: later }));
          // Byte for byte what the source sent, order aside: a reader of the later version finds all of it.
          const { rows } = await engine.range({ prefix: `config/${String(entry.Kind)}/` });
          expect(rows.map((row) => JSON.parse(row.value))).toEqual([later]);
          expect(
            entries.reads['config.get'].produce({ kind: String(entry.Kind), name: String(entry.Name) }),
          ).toMatchObject(later);
        } finally {
          await store.stop();
          await engine.close();
        }
      }),
      { numRuns: 25 },
    );
  });

  it('policies, roles and tokens', () => {
    const policy = {
      ID: '6b1a4b5e-0f5f-4c5c-9d0e-2f7a6a1f3c11',
      Name: 'n',
      Description: '',
      Rules: '',
      Datacenters: [],
      Hash: '',
    };
    const role = {
      ID: '7c2b5c6f-1a6a-4d6d-8e1f-3a8b7b2a4d22',
      Name: 'n',
      Description: '',
      Policies: [{ ID: policy.ID }],
      ServiceIdentities: [],
      NodeIdentities: [],
    };
    const token = {
      ...role,
      AccessorID: '8d3c6d7a-2b7b-4e7e-9f2a-4b9c8c3b5e33',
      SecretID: '9e4d7e8b-3c8c-4f8f-8a3b-5cad9d4c6f44',
      Roles: [],
      Local: false,
      CreateTime: 't',
    };
    fc.assert(
      fc.property(fc.array(addition, { minLength: 1, maxLength: 4 }), (additions) => {
        for (const [check, entity] of [
          [checkPolicy, policy],
          [checkRole, role],
          [checkToken, token],
        ] as const) {
          const later = extended(entity, additions, []);
          expect(check(later)).toEqual(later);
        }
      }),
    );
  });
});

describe('messages of a later version', () => {
  const SCHEMAS = [
    ReadRequestSchema,
    ReadReplySchema,
    WriteRequestSchema,
    WatchReplySchema,
    HelloSchema,
    SnapshotPartSchema,
    RestoreReplySchema,
  ];

  /** A field with a number that is not used, of any wire type. */
  const unknownField = fc.record({
    number: fc.integer({ min: 100, max: 5_000 }),
    value: fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 60n }), fc.uint8Array({ maxLength: 40 })),
  });

  it('are read, and written with all that was in them', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...SCHEMAS),
        fc.array(unknownField, { minLength: 1, maxLength: 4 }),
        (schema, fields) => {
          const known = toBinary(schema, create(schema));
          const writer = new BinaryWriter();
          for (const { number, value } of fields) {
            if (typeof value === 'bigint') writer.tag(number, WireType.Varint).uint64(value);
            else writer.tag(number, WireType.LengthDelimited).bytes(value);
          }
          const sent = Buffer.concat([known, writer.finish()]);
          const message = fromBinary(schema, sent);
          expect(Buffer.from(toBinary(schema, message)).equals(sent)).toBe(true);
        },
      ),
    );
  });

  it('of a kind that is not known are passed over', () => {
    const writer = new BinaryWriter();
    writer.tag(900, WireType.LengthDelimited).bytes(Buffer.from('later'));
    expect(decodeChanges(fromBinary(ChangesReplySchema, writer.finish()))).toBeUndefined();
  });
});
