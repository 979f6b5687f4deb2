// biome-ignore-all lint/suspicious/noTemplateCurlyInString: that is how templates of queries are written
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { queryInstance as instance } from '../../../test/fakes/fake-query-mesh.ts';
import { memoryStore } from '../../../test/fakes/memory-store.ts';
import type { ServiceInstance } from '../../model/catalog.ts';
import type { QueryRequest, QuerySelection } from '../../model/prepared-query.ts';
import { createQueries } from './queries.ts';
import { select } from './select.ts';

const store = memoryStore();
const queries = createQueries({ store, instances: { topics: () => [], produce: () => [] } });
const { signal } = new AbortController();

beforeAll(() => store.start(signal));
afterAll(() => store.stop());
beforeEach(async () => {
  for (const { ID } of queries.reads['queries.list'].produce({})) await queries.delete({ id: ID });
});

const create = (query: QueryRequest): Promise<{ readonly ID: string }> => queries.create({ query });

describe('definitions', () => {
  it('gives a name to one query, without regard to case, also when two take it at once', async () => {
    const both = await Promise.allSettled([
      create({ Name: 'Web', Service: { Service: 'a' } }),
      create({ Name: 'web', Service: { Service: 'b' } }),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const [{ ID } = { ID: '' }] = queries.reads['queries.list'].produce({});
    await queries.update({ id: ID, query: { Name: 'other', Service: { Service: 'a' } } });
    await create({ Name: 'web', Service: { Service: 'b' } });
    await queries.delete({ id: ID });
    await expect(queries.delete({ id: ID })).rejects.toThrow('Cannot modify non-existent prepared query');
    expect(queries.reads['queries.list'].produce({})).toHaveLength(1);
  });

  it.each<[string, QueryRequest]>([
    ['ID must be empty when creating a new prepared query', { ID: 'x', Name: 'a', Service: { Service: 'a' } }],
    [
      "Invalid prepared query: DNS TTL '-1s', must be >=0",
      { Name: 'a', Service: { Service: 'a' }, DNS: { TTL: '-1s' } },
    ],
    [
      "Invalid prepared query: Couldn't load metadata pair ('a b', 'c'): Key contains invalid characters",
      { Name: 'a', Service: { Service: 'a', NodeMeta: { 'consul-x': 'y', 'a b': 'c' } } },
    ],
    [
      'Invalid prepared query: Targets cannot be populated with NearestN or Datacenters',
      { Name: 'a', Service: { Service: 'a', Failover: { NearestN: 1, Targets: [{ Datacenter: 'dc2' }] } } },
    ],
    [
      "failed compiling template: Bad format '${what}' in Service.Service",
      { Name: 'a', Template: { Type: 'name_prefix_match' }, Service: { Service: '${what}' } },
    ],
    [
      'failed compiling template: Bad Regexp: error parsing regexp: missing closing ): `(`',
      { Name: 'a', Template: { Type: 'name_prefix_match', Regexp: '(' }, Service: { Service: 'a' } },
    ],
  ])('refuses with: %s', async (message, query) => {
    await expect(create(query)).rejects.toMatchObject({ code: 'rejected', message });
  });
});

describe('templates', () => {
  const explain = (query: string) =>
    queries.reads['queries.explain'].produce({ query, agent: { node: 'n', segment: 'blue' } }).Query;

  it('takes the longest prefix, and a whole name before it', async () => {
    const template = { Type: 'name_prefix_match' };
    await create({ Name: '', Template: template, Service: { Service: 'any-${name.full}' } });
    await create({ Name: 'geo-', Template: template, Service: { Service: 'geo-${name.suffix}' } });
    await create({ Name: 'geo-db', Service: { Service: 'exact' } });
    const services = ['web', 'Geo-cache', 'geo-db', 'geo-db2'].map((name) => explain(name).Service.Service);
    expect(services).toEqual(['any-web', 'geo-cache', 'exact', 'geo-db2']);
  });

  it('fills in every text of the service', async () => {
    await create({
      Name: 'geo-',
      Template: { Type: 'name_prefix_match', Regexp: '^geo-(.*?)-([^\\-]+?)$', RemoveEmptyTags: true },
      Service: {
        Service: '${match(1)}',
        Tags: ['${match(2)}', '${match(7)}', '$${x}'],
        NodeMeta: { segment: '${agent.segment}' },
        Failover: { Datacenters: ['${ match(2) }'] },
        Near: '${name.prefix}${name.full}',
      },
    });
    expect(explain('geo-db-dc2').Service).toMatchObject({
      Service: 'db',
      Tags: ['dc2', '${x}'],
      NodeMeta: { segment: 'blue' },
      Failover: { Datacenters: ['dc2'] },
      Near: 'geo-geo-db-dc2',
    });
    const [{ ID } = { ID: '' }] = queries.reads['queries.list'].produce({});
    expect(() => explain(ID)).toThrow('prepared query templates can only be resolved up by name, not by ID');
  });
});

describe('selection', () => {
  const check = (CheckID: string, Status: string) => ({ CheckID, Status }) as ServiceInstance['Checks'][number];
  const plain = instance('n1', 'db', 'dc1');
  const of = (Tags: readonly string[], ...Checks: ServiceInstance['Checks']): ServiceInstance => ({
    ...plain,
    Service: { ...plain.Service, Tags, Meta: { v: '1' } },
    Checks,
  });

  it.each<[string, ServiceInstance, Partial<QuerySelection>, boolean]>([
    ['a warning serves', of([], check('a', 'warning')), {}, true],
    ['a warning does not pass', of([], check('a', 'warning')), { onlyPassing: true }, false],
    ['critical never serves', of([], check('a', 'critical')), {}, false],
    ['an ignored check does not count', of([], check('a', 'critical')), { ignoreCheckIds: ['a'] }, true],
    ['tags, in any case', of(['Primary', 'v1']), { tags: ['primary'] }, true],
    ['a tag that is not carried', of(['v1']), { tags: ['v1', 'v2'] }, false],
    ['a tag that must not be carried', of(['v1']), { tags: ['!V1'] }, false],
    ['a tag that is rightly missing', of(['v1']), { tags: ['!v2', 'v1'] }, true],
    ['metadata of the service', of([]), { serviceMeta: { v: '1' } }, true],
    ['other metadata', of([]), { serviceMeta: { v: '2' } }, false],
    ['an expression', of(['v1']), { filter: '"v1" in Service.Tags' }, true],
    ['another expression', of(['v1']), { filter: 'Service.Meta.v == 2' }, false],
    ['metadata of a node that has none', of([]), { nodeMeta: { rack: 'a' } }, false],
  ])('%s', (_what, candidate, selection, fits) => {
    expect(select([candidate], { service: 'db', ...selection })).toHaveLength(fits ? 1 : 0);
  });
});
