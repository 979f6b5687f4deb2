import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestEdge, type TestEdge } from '../../../../test/fakes/http-edge.ts';

describe('/v1/discovery-chain', () => {
  let edge: TestEdge;

  beforeAll(async () => {
    edge = await startTestEdge();
  });
  afterAll(() => edge.stop());

  const asked = (): unknown => edge.contract.calls.at(-1)?.args;
  const post = (body: unknown) => edge.send('POST', '/v1/discovery-chain/web?compile-dc=dc2', JSON.stringify(body));

  it('takes overrides in a body, in both spellings', async () => {
    await edge.get('/v1/discovery-chain/web?compile-dc=dc2');
    expect(asked()).toEqual({ service: 'web', compileDatacenter: 'dc2' });
    await post({
      OverrideConnectTimeout: '7s',
      OverrideProtocol: 'HTTP2',
      OverrideMeshGateway: { Mode: 'remote' },
    });
    const overrides = { connectTimeoutMs: 7_000, protocol: 'http2', meshGateway: 'remote' };
    expect(asked()).toEqual({ service: 'web', compileDatacenter: 'dc2', overrides });
    await post({
      override_connect_timeout: 7e9,
      override_protocol: 'http2',
      override_mesh_gateway: { mode: 'remote' },
    });
    expect(asked()).toMatchObject({ overrides });
    await post({});
    expect(asked()).toEqual({ service: 'web', compileDatacenter: 'dc2', overrides: {} });
  });

  it.each([
    [{ OverrideConnectTimeout: 'soon' }, 'Bad request: Request decoding failed: time: invalid duration "soon"'],
    [{ OverrideMeshGateway: { Mode: 'sideways' } }, 'Invalid OverrideMeshGateway.Mode parameter'],
  ])('refuses %j', async (body, text) => {
    expect(await post(body)).toMatchObject({ status: 400, body: text });
  });
});
