import { describe, expect, it } from 'vitest';
import { type WatchParams, watchPlan } from './plan.ts';

describe('a watch', () => {
  it.each<[WatchParams, string, object]>([
    [{ type: 'key', key: 'a/b c' }, '/v1/kv/a/b%20c', {}],
    [{ type: 'keyprefix', prefix: 'a/' }, '/v1/kv/a/', { recurse: true }],
    [{ type: 'services', stale: true }, '/v1/catalog/services', { stale: true }],
    [{ type: 'nodes', datacenter: 'dc2', token: 's' }, '/v1/catalog/nodes', { dc: 'dc2' }],
    [{ type: 'service', service: 'web' }, '/v1/health/service/web', {}],
    [
      { type: 'service', service: 'a/b', tag: ['x', 'y'], passingonly: true },
      '/v1/health/service/a%2Fb',
      { tag: ['x', 'y'], passing: '1' },
    ],
    [{ type: 'service', service: 'web', tag: 'x' }, '/v1/health/service/web', { tag: ['x'] }],
    [{ type: 'checks' }, '/v1/health/state/any', {}],
    [{ type: 'checks', state: 'critical' }, '/v1/health/state/critical', {}],
    [{ type: 'checks', service: 'web' }, '/v1/health/checks/web', {}],
    [{ type: 'connect_roots' }, '/v1/agent/connect/ca/roots', {}],
    [{ type: 'connect_leaf', service: 'web' }, '/v1/agent/connect/ca/leaf/web', {}],
    [{ type: 'agent_service', service_id: 'web-1' }, '/v1/agent/service/web-1', {}],
    [{ type: 'event' }, '/v1/event/list', {}],
    [{ type: 'event', name: 'a&b' }, '/v1/event/list', { name: 'a&b' }],
  ])('%j', (params, path, query) => {
    expect(watchPlan({ args: ['true'], ...params })).toMatchObject({ path, query });
    expect(Object.keys(watchPlan(params).query)).toEqual(expect.arrayContaining(Object.keys(query)));
  });

  it.each<[WatchParams, string]>([
    [{}, 'Watch type must be specified'],
    [{ type: 'bogus' }, 'Unsupported watch type: bogus'],
    [{ type: 'constructor' }, 'Unsupported watch type: constructor'],
    [{ type: 7 }, 'Expecting type to be a string'],
    [{ type: 'key' }, 'Must specify a single key to watch'],
    [{ type: 'keyprefix' }, 'Must specify a single prefix to watch'],
    [{ type: 'service' }, 'Must specify a single service to watch'],
    [{ type: 'service', service: 'web', tag: [1] }, 'Expecting tag to be a string or []string'],
    [{ type: 'service', service: 'web', passingonly: 'yes' }, 'Expecting passingonly to be a boolean'],
    [{ type: 'checks', service: 'web', state: 'any' }, 'Cannot specify service and state'],
    [{ type: 'connect_leaf' }, 'Must specify a single service to watch'],
    [{ type: 'agent_service' }, 'Must specify a single service ID to watch'],
    [{ type: 'nodes', key: 'a', prefix: 'b' }, 'Invalid parameters: [key prefix]'],
  ])('%j is refused', (params, message) => {
    expect(() => watchPlan(params)).toThrow(message);
  });

  it('of a key gives it in Consul’s order, and null when it is not there', () => {
    const { data } = watchPlan({ type: 'key', key: 'a' });
    const pair = { LockIndex: 0, Key: 'a', Flags: 1, Value: 'eA==', CreateIndex: 5, ModifyIndex: 6 };
    expect(JSON.stringify(data([pair], undefined))).toBe(
      '{"Key":"a","CreateIndex":5,"ModifyIndex":6,"LockIndex":0,"Flags":1,"Value":"eA==","Session":""}',
    );
    expect(data(null, undefined)).toBe(null);
  });

  it('of events gives those that were not there before', () => {
    const { data } = watchPlan({ type: 'event' });
    const [a, b, c] = [{ ID: 'a' }, { ID: 'b' }, { ID: 'c' }];
    expect(data([a, b], undefined)).toEqual([a, b]);
    expect(data([b, c], [a, b])).toEqual([c]);
  });
});
