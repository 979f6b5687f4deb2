import { expect, it } from 'vitest';
import { makeRoots } from '../../test/fakes/ca-roots.ts';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { ALLOW_ALL, FakeAuthority } from '../../test/fakes/fake-mesh.ts';
import type { CaRoots } from '../model/ca.ts';
import type { Followed } from '../rpc/subscribe/watch-pool.ts';
import { Held } from './cache/held.ts';
import { ConnectionAuthorizer } from './connection-authorizer.ts';

const { signal } = new AbortController();

it("refuses a chain that is not the client's, or that another datacenter has signed", async () => {
  const clock = new FakeClock(Date.now());
  const ca = new FakeAuthority();
  const held = new Held<CaRoots>(clock);
  const roots = makeRoots('r1');
  held.set({ ...roots, Roots: roots.Roots.map((root) => ({ ...root, RootCert: ca.rootPem })) }, 1);
  const authorizer = new ConnectionAuthorizer({
    pool: {
      follow(_name: unknown, _args: unknown, _options: unknown, listener: (state: Followed<never>) => void) {
        listener({ value: ALLOW_ALL as never, index: 1 } as Followed<never>);
        return () => undefined;
      },
    } as never,
    roots: { held },
    clock,
    aclsEnabled: false,
  });
  const ask = async (uri: string, ClientCertChain?: string) => {
    const chain = ClientCertChain === undefined ? {} : { ClientCertChain };
    const question = { Target: 'db', ClientCertURI: uri, ClientCertSerial: '', ...chain };
    return (await authorizer.authorize(question, { signal })).value;
  };
  const good = ca.leaf('web', 'dc1', { signedBy: 'dc1' });
  const forged = ca.leaf('web', 'dc1', { signedBy: 'dc2' });
  expect(await ask(good.uri, good.certPem)).toMatchObject({ Authorized: true });
  expect(await ask(forged.uri)).toMatchObject({ Authorized: true }); // a name alone tells nothing
  expect(await ask(forged.uri, forged.certPem)).toMatchObject({
    Authorized: false,
    Reason: expect.stringContaining('its issuer may sign for "dc2" alone'),
  });
  const other = ca.leaf('shop', 'dc1', { signedBy: 'dc1' });
  expect(await ask(good.uri, other.certPem)).toMatchObject({ Authorized: false });
  expect(await ask(good.uri, new FakeAuthority(ca.trustDomain).leaf('web', 'dc1').certPem)).toMatchObject({
    Authorized: false,
    Reason: expect.stringContaining('not trusted'),
  });
  expect(await ask(good.uri, 'nonsense')).toMatchObject({ Authorized: false });
  authorizer.close();
});
