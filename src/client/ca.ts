import type { CaConfiguration, CaRoots, RotationStatus } from '../model/ca.ts';
import type { CaStatus } from '../model/requests.ts';
import type { Answer, CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

/** What a caller sends to change the configuration. */
export type CaConfigurationInput = Partial<CaConfiguration> & Pick<CaConfiguration, 'Provider' | 'Config'>;

export interface CaApi {
  roots(call?: CallOptions): Promise<Answer<CaRoots>>;
  rootsPem(call?: CallOptions): Promise<string>;
  configuration(call?: CallOptions): Promise<CaConfiguration>;
  setConfiguration(configuration: CaConfigurationInput, call?: CallOptions): Promise<void>;
  /** Starts a rotation to a new root; `force` even while another one is under way. */
  rotate(options?: { readonly force?: boolean }, call?: CallOptions): Promise<void>;
  rotation(call?: CallOptions): Promise<Answer<RotationStatus>>;
  status(call?: CallOptions): Promise<CaStatus>;
}

export function createCaApi(transport: Transport): CaApi {
  const get = <T>(path: string, call: CallOptions = {}): Promise<Answer<T>> =>
    transport.json<T>({ method: 'GET', path: `/v1/connect/ca/${path}`, call });
  return {
    roots: (call) => get('roots', call),
    rootsPem: (call = {}) =>
      transport.text({ method: 'GET', path: '/v1/connect/ca/roots', query: { pem: 'true' }, call }),
    configuration: async (call) => (await get<CaConfiguration>('configuration', call)).value,
    async setConfiguration(configuration, call = {}) {
      await transport.text({ method: 'PUT', path: '/v1/connect/ca/configuration', body: configuration, call });
    },
    async rotate({ force } = {}, call = {}) {
      await transport.text({ method: 'PUT', path: '/v1/connect/ca/rotate', query: { force }, call });
    },
    rotation: (call) => get('rotation', call),
    status: async (call) => (await get<CaStatus>('status', call)).value,
  };
}
