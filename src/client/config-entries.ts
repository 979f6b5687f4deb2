import type { ConfigEntry } from '../model/config-entry.ts';
import type { Answer, CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

export interface ConfigEntriesApi {
  list(kind: string, call?: CallOptions): Promise<Answer<readonly ConfigEntry[]>>;
  get(kind: string, name: string, call?: CallOptions): Promise<Answer<ConfigEntry>>;
  /** The answer as it was written, with the order of its fields. */
  getText(kind: string, name: string, call?: CallOptions): Promise<string>;
  /** False when `cas` names an index that is not the entry's. */
  write(entry: Readonly<Record<string, unknown>>, cas?: number, call?: CallOptions): Promise<boolean>;
  delete(kind: string, name: string, call?: CallOptions): Promise<void>;
}

export function createConfigEntriesApi(transport: Transport): ConfigEntriesApi {
  const path = (kind: string, name: string): string =>
    `/v1/config/${encodeURIComponent(kind)}/${encodeURIComponent(name)}`;
  return {
    list: (kind, call = {}) =>
      transport.json<readonly ConfigEntry[]>({ method: 'GET', path: `/v1/config/${encodeURIComponent(kind)}`, call }),
    get: (kind, name, call = {}) => transport.json<ConfigEntry>({ method: 'GET', path: path(kind, name), call }),
    getText: (kind, name, call = {}) => transport.text({ method: 'GET', path: path(kind, name), call }),
    async write(entry, cas, call = {}) {
      const request = { method: 'PUT', path: '/v1/config', query: { cas }, body: entry, call } as const;
      return (await transport.json<boolean>(request)).value;
    },
    async delete(kind, name, call = {}) {
      await transport.text({ method: 'DELETE', path: path(kind, name), call });
    },
  };
}
