import { describe, expect, it } from 'vitest';
import { startCa } from '../../../../test/fakes/ca-datacenter.ts';
import { FakeClock } from '../../../../test/fakes/fake-clock.ts';
import { CA_PROVIDERS } from '../../../model/ca-providers.ts';
import { noLog } from '../../../telemetry/types.ts';
import { createBuiltinProvider } from './builtin.ts';
import type { CaProvider, ProviderDeps } from './provider.ts';
import { CaProviders } from './providers.ts';

const clock = new FakeClock();
const deps: ProviderDeps = { clock, log: noLog, http: () => Promise.reject(new Error('no network')) };

describe('CA providers', () => {
  it('are those of one table, by the names that the configuration takes', () => {
    const providers = new CaProviders(deps);
    for (const name of CA_PROVIDERS) expect(providers.find(name).name).toBe(name);
    for (const name of ['vault', 'aws-pca', 'Consul', 'constructor', ''])
      expect(() => providers.find(name)).toThrow(`unknown CA provider ${JSON.stringify(name)}`);
  });

  it('are made with what they need, started before anything is signed, and stopped last', async () => {
    const steps: string[] = [];
    const create = (given: ProviderDeps): CaProvider => {
      expect(given).toBe(deps);
      return {
        ...createBuiltinProvider(),
        start: async () => void steps.push('started'),
        stop: async () => void steps.push('stopped'),
        issuer: (certPem, secret) => {
          steps.push('signs');
          return createBuiltinProvider().issuer(certPem, secret);
        },
      };
    };
    const dc1 = await startCa('dc1', clock, { providers: new CaProviders(deps, { consul: create }) });
    await dc1.leaf();
    await dc1.stop();
    expect(steps).toEqual(['started', 'signs', 'stopped']);
  });

  it('say what is wrong with them in the status', async () => {
    let problem = '';
    const create = (): CaProvider => ({ ...createBuiltinProvider(), problem: () => problem });
    const dc1 = await startCa('dc1', clock, { providers: new CaProviders(deps, { consul: create }) });
    expect(dc1.ca.status()).toMatchObject({ State: 'ready' });
    problem = 'its token has expired';
    expect(dc1.ca.status()).toMatchObject({ State: 'degraded', Reason: problem });
    await dc1.stop();
  });

  it('that fail to start are an error of the start', async () => {
    const create = (): CaProvider => ({
      ...createBuiltinProvider(),
      start: () => Promise.reject(new Error('no way to it')),
    });
    const providers = new CaProviders(deps, { consul: create });
    await expect(providers.start(new AbortController().signal)).rejects.toThrow('no way to it');
    await providers.stop();
  });
});
