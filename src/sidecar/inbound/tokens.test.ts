import { createServer } from 'node:http';
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ALLOW_ALL } from '../../../test/fakes/fake-mesh.ts';
import { ask, HTTP, httpApp, requestsTo } from '../../../test/fakes/http-bench.ts';
import { DB, listening, SidecarBench } from '../../../test/fakes/sidecar-bench.ts';
import type { Verdicts } from '../../model/intention.ts';
import type { JwtProviderEntry } from '../../model/layer7/jwt-provider.ts';

type Key = Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];

let bench: SidecarBench;
let key: Key;
let jwk: JWK;
let stranger: Key;
beforeAll(async () => {
  const pair = await generateKeyPair('ES256');
  key = pair.privateKey;
  jwk = { ...(await exportJWK(pair.publicKey)), kid: 'one', alg: 'ES256' };
  stranger = (await generateKeyPair('ES256')).privateKey;
});
beforeEach(() => {
  bench = new SidecarBench();
});
afterEach(() => bench.close());

async function token(claims: Record<string, unknown>, signer: Key = key, life = '1h', kid = 'one'): Promise<string> {
  return await new SignJWT({ iss: 'https://issuer.example', aud: 'db', ...claims })
    .setProtectedHeader({ alg: 'ES256', kid })
    .setExpirationTime(life)
    .sign(signer);
}

function entry(more: Partial<JwtProviderEntry> = {}): JwtProviderEntry {
  return {
    Kind: 'jwt-provider',
    Name: 'okta',
    Issuer: 'https://issuer.example',
    Audiences: ['db'],
    JSONWebKeySet: { Local: { JWKS: Buffer.from(JSON.stringify({ keys: [jwk] })).toString('base64') } },
    ...more,
  };
}

function verdicts(provider: JwtProviderEntry): Verdicts {
  const Providers = [{ Name: 'okta', VerifyClaims: [{ Path: ['role'], Value: 'admin' }] }];
  return {
    ...ALLOW_ALL,
    destination: 'db',
    defaultAction: 'deny',
    revision: 5,
    providers: [provider],
    rules: [
      {
        source: 'web',
        destination: 'db',
        action: 'deny',
        precedence: 9,
        revision: 5,
        permissions: 1,
        requests: { Permissions: [{ Action: 'allow', HTTP: { PathPrefix: '/' }, JWT: { Providers } }] },
      },
    ],
  };
}

/** The address where web's application asks db, whose application says what headers it got. */
async function start(provider: JwtProviderEntry): Promise<string> {
  const port = await httpApp(bench, (request, response) => response.end(JSON.stringify(request.headers)));
  const db = await bench.db(port, { parts: { inbound: HTTP, verdicts: verdicts(provider) } });
  const requests = { [DB.key]: requestsTo({ db: [db.address] }) };
  return (await bench.web([], { parts: { requests, endpoints: {} } })).address;
}

async function status(address: string, bearer: string | undefined, path = '/'): Promise<number> {
  const headers = bearer === undefined ? {} : { authorization: `Bearer ${bearer}` };
  return (await ask(address, path, { headers })).status;
}

describe('a request that needs a token', () => {
  it('is let through with a valid one that has the claims, and with nothing else', async () => {
    const address = await start(entry());
    const good = await token({ role: 'admin' });
    expect(await status(address, good)).toBe(200);
    expect(await status(address, good)).toBe(200); // remembered
    expect(await status(address, undefined)).toBe(403);
    expect(await status(address, 'nonsense')).toBe(403);
    expect(await status(address, await token({ role: 'guest' }))).toBe(403);
    expect(await status(address, await token({ role: 'admin', iss: 'https://other.example' }))).toBe(403);
    expect(await status(address, await token({ role: 'admin', aud: 'other' }))).toBe(403);
    expect(await status(address, await token({ role: 'admin' }, key, '-1h'))).toBe(403);
    expect(await status(address, await token({ role: 'admin' }, stranger))).toBe(403);
    const [head, body] = good.split('.') as [string, string];
    expect(await status(address, `${head}.${body}.`)).toBe(403);
    const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
    expect(await status(address, `${none}.${body}.`)).toBe(403);
  });

  it('is not let through with a forged one: the key as a secret, a key of its own, an unknown mark', async () => {
    const address = await start(entry());
    const claims = { iss: 'https://issuer.example', aud: 'db', role: 'admin' };
    const own = await generateKeyPair('ES256', { extractable: true });
    const ownJwk = await exportJWK(own.publicKey);
    const sign = (header: Record<string, unknown>, secret: Parameters<SignJWT['sign']>[0]): Promise<string> =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'ES256', kid: 'one', ...header })
        .setExpirationTime('1h')
        .sign(secret, { crit: { x: true } });
    for (const secret of [JSON.stringify(jwk), jwk.x as string, JSON.stringify({ keys: [jwk] })])
      for (const alg of ['HS256', 'HS512'])
        expect(await status(address, await sign({ alg }, Buffer.from(secret)))).toBe(403);
    expect(await status(address, await sign({ jwk: ownJwk }, own.privateKey))).toBe(403);
    expect(await status(address, await sign({ jku: 'http://127.0.0.1:1/keys' }, own.privateKey))).toBe(403);
    expect(await status(address, await sign({ kid: '../../dev/null' }, own.privateKey))).toBe(403);
    expect(await status(address, await sign({ crit: ['x'], x: 1 }, key))).toBe(403);
    const [head, , signature] = (await token({ role: 'admin' })).split('.') as [string, string, string];
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '', 'ES256K']) {
      const other = Buffer.from(JSON.stringify({ alg, kid: 'one' })).toString('base64url');
      const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
      for (const end of ['', signature]) expect(await status(address, `${other}.${body}.${end}`)).toBe(403);
      expect(await status(address, `${head}.${body}.${signature}`)).toBe(403);
    }
    expect(await status(address, await token({ role: 'admin' }))).toBe(200);
  });

  it('may have it in a query or a cookie; claims go to the application, and no caller can set them', async () => {
    const address = await start(
      entry({
        Locations: [{ QueryParam: { Name: 'jwt' } }, { Cookie: { Name: 'session' } }, { Header: { Name: 'X-Token' } }],
        Forwarding: { HeaderName: 'X-Claims' },
      }),
    );
    const good = await token({ role: 'admin' });
    expect((await ask(address, `/?jwt=${good}`)).status).toBe(200);
    expect((await ask(address, '/', { headers: { cookie: `a=b; session=${good}` } })).status).toBe(200);
    const answer = await ask(address, '/', { headers: { 'x-token': good, 'x-claims': 'forged', x_claims: 'forged' } });
    const headers = JSON.parse(answer.body) as Record<string, string>;
    expect(headers).not.toHaveProperty('x-token');
    const claims = JSON.parse(Buffer.from(headers['x-claims'] as string, 'base64url').toString()) as object;
    expect(claims).toMatchObject({ role: 'admin' });
    expect(answer.body).not.toContain('forged');
  });

  it('is verified with keys that are fetched, kept, and fetched again for one that is not known', async () => {
    let fetched = 0;
    let up = true;
    const server = createServer((_request, response) => {
      fetched += 1;
      response.writeHead(up ? 200 : 500).end(JSON.stringify({ keys: [jwk] }));
    });
    const port = await listening(server);
    bench.defer(() => new Promise((resolve) => void server.close(() => resolve())));
    const remote = { URI: `http://127.0.0.1:${port}/keys`, CacheDuration: '1h' };
    const address = await start(entry({ JSONWebKeySet: { Remote: remote } }));
    expect(await status(address, await token({ role: 'admin' }))).toBe(200);
    expect(await status(address, await token({ role: 'admin', n: 2 }))).toBe(200);
    expect(fetched).toBe(1);
    up = false; // a key that is not known is asked for no more often than every 30 s: the keys of before go on
    expect(await status(address, await token({ role: 'admin' }, key, '1h', 'two'))).toBe(403);
    expect(await status(address, await token({ role: 'admin', n: 3 }))).toBe(200);
  });

  it('is refused while there are no keys', async () => {
    const remote = { URI: 'http://127.0.0.1:1/keys', RequestTimeoutMs: 500 };
    const address = await start(entry({ JSONWebKeySet: { Remote: remote } }));
    expect(await status(address, await token({ role: 'admin' }))).toBe(403);
  });
});
