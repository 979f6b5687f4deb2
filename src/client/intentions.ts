import { hasCode } from '../lib/errors.ts';
import type { Explanation, Intention, IntentionAction } from '../model/intention.ts';
import type { ExplainArgs, IntentionPair } from '../model/requests.ts';
import type { Answer, CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

/** What a caller sends to create or replace an intention. */
export interface IntentionInput {
  readonly ID?: string;
  readonly SourceName: string;
  readonly SourceDatacenter?: string;
  readonly DestinationName: string;
  readonly DestinationDatacenter?: string;
  readonly SourceType: 'consul';
  readonly Action: IntentionAction;
  readonly Description?: string;
  readonly Meta?: Readonly<Record<string, string>>;
}

export interface IntentionsApi {
  list(call?: CallOptions): Promise<Answer<readonly Intention[]>>;
  /** `undefined` when there is none. */
  get(id: string, call?: CallOptions): Promise<Intention | undefined>;
  getExact(pair: IntentionPair, call?: CallOptions): Promise<Intention | undefined>;
  /** Returns the new ID. */
  create(intention: IntentionInput, call?: CallOptions): Promise<string>;
  update(id: string, intention: IntentionInput, call?: CallOptions): Promise<void>;
  /** Creates or replaces the intention of a pair; it gets no ID. */
  upsert(pair: IntentionPair, intention: IntentionInput, call?: CallOptions): Promise<void>;
  delete(id: string, call?: CallOptions): Promise<void>;
  deleteExact(pair: IntentionPair, call?: CallOptions): Promise<void>;
  match(by: 'source' | 'destination', name: string, call?: CallOptions): Promise<readonly Intention[]>;
  check(pair: IntentionPair, call?: CallOptions): Promise<boolean>;
  explain(asked: ExplainArgs, call?: CallOptions): Promise<Explanation>;
}

const BASE = '/v1/connect/intentions';

function pairQuery(pair: IntentionPair): Record<string, string | undefined> {
  return {
    source: pair.source,
    destination: pair.destination,
    'source-dc': pair.sourceDatacenter,
    'destination-dc': pair.destinationDatacenter,
  };
}

async function orUndefined<T>(answer: Promise<Answer<T>>): Promise<T | undefined> {
  try {
    return (await answer).value;
  } catch (error) {
    if (hasCode(error, 'not_found')) return undefined;
    throw error;
  }
}

export function createIntentionsApi(transport: Transport): IntentionsApi {
  const byId = (id: string): string => `${BASE}/${encodeURIComponent(id)}`;
  const get = <T>(path: string, call: CallOptions = {}, query = {}): Promise<Answer<T>> =>
    transport.json<T>({ method: 'GET', path, query, call });
  return {
    list: async (call) => {
      const answer = await get<readonly Intention[] | null>(BASE, call);
      return { ...answer, value: answer.value ?? [] };
    },
    get: (id, call) => orUndefined(get<Intention>(byId(id), call)),
    getExact: (pair, call) => orUndefined(get<Intention>(`${BASE}/exact`, call, pairQuery(pair))),
    async create(intention, call = {}) {
      const answer = await transport.json<{ ID: string }>({ method: 'POST', path: BASE, body: intention, call });
      return answer.value.ID;
    },
    async update(id, intention, call = {}) {
      await transport.text({ method: 'PUT', path: byId(id), body: intention, call });
    },
    async upsert(pair, intention, call = {}) {
      await transport.text({ method: 'PUT', path: `${BASE}/exact`, query: pairQuery(pair), body: intention, call });
    },
    async delete(id, call = {}) {
      await transport.text({ method: 'DELETE', path: byId(id), call });
    },
    async deleteExact(pair, call = {}) {
      await transport.text({ method: 'DELETE', path: `${BASE}/exact`, query: pairQuery(pair), call });
    },
    async match(by, name, call) {
      const { value } = await get<Readonly<Record<string, readonly Intention[] | null>>>(`${BASE}/match`, call, {
        by,
        name,
      });
      return value[name] ?? [];
    },
    check: async (pair, call) =>
      (await get<{ Allowed: boolean }>(`${BASE}/check`, call, pairQuery(pair))).value.Allowed,
    async explain({ request, ...pair }, call) {
      const { path, method, headers } = request ?? {};
      const asked = request === undefined ? {} : { path, method: method ?? 'GET', header: headers ?? [] };
      return (await get<Explanation>('/v1/internal/explain', call, { ...pairQuery(pair), ...asked })).value;
    },
  };
}
