import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestEdge, type TestEdge } from '../../../../test/fakes/http-edge.ts';

let edge: TestEdge;
beforeAll(async () => {
  edge = await startTestEdge();
  edge.contract.onRead = () => ({ Nodes: [], Datacenter: 'dc1' });
});
afterAll(() => edge.stop());

describe('executing a query', () => {
  it.each([
    [{}, '127.0.0.1'],
    [{ 'X-Forwarded-For': '10.0.0.3, 192.0.2.1' }, '10.0.0.3'],
    [{ 'X-Forwarded-For': 'unknown' }, '127.0.0.1'],
  ])('tells where the caller is: %o', async (headers, source) => {
    expect(await edge.get('/v1/query/q/execute?near=_ip&limit=2', headers)).toMatchObject({ status: 200 });
    expect(edge.contract.calls.at(-1)?.args).toMatchObject({ query: 'q', near: '_ip', limit: 2, source });
  });

  it('refuses a limit that is no number; one below zero is none', async () => {
    expect(await edge.get('/v1/query/q/execute?limit=x')).toMatchObject({
      status: 500,
      body: 'Bad limit: strconv.Atoi: parsing "x": invalid syntax',
    });
    await edge.get('/v1/query/q/execute?limit=-1');
    expect(edge.contract.calls.at(-1)?.args).not.toHaveProperty('limit', -1);
  });
});
