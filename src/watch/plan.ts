import { isDeepStrictEqual } from 'node:util';
import { IsthmusError } from '../lib/errors.ts';

/** What a watch asks of the HTTP API, and what of the answer is for its handler. */
export interface WatchPlan {
  readonly type: string;
  /** Encoded. */
  readonly path: string;
  readonly query: WatchQuery;
  /** What names an answer, so that the next one can be waited for: its index, or the hash of its content. */
  readonly waitBy: 'index' | 'hash';
  /** Indexes grow; without it they only tell one answer from another. */
  readonly grows: boolean;
  /** What an answer with status 404 stands for; absent: it is an error. */
  readonly absent?: unknown;
  /** What the handler gets. @param before the answer before; undefined for the first one */
  data(answer: unknown, before: unknown): unknown;
}

/** Parameters of a request; true is one without a value, a list one that is there several times. */
export type WatchQuery = Readonly<Record<string, string | readonly string[] | true>>;

/** A watch as files and flags give it. */
export type WatchParams = Readonly<Record<string, unknown>>;

/** Keys that say what is run, not what is watched. */
const HANDLER_KEYS = ['handler', 'handler_type', 'args', 'http_handler_config'];
const COMMON_KEYS = ['type', 'datacenter', 'token', 'stale', ...HANDLER_KEYS];

interface WatchType {
  /** Of their own. */
  readonly keys: readonly string[];
  plan(params: Params): Pick<WatchPlan, 'path'> & Partial<Omit<WatchPlan, 'type'>>;
}

/** Reads parameters with Consul's refusals. */
class Params {
  readonly #given: WatchParams;

  constructor(given: WatchParams) {
    this.#given = given;
  }

  text(key: string): string {
    const value = this.#given[key];
    if (value === undefined || value === null) return '';
    if (typeof value !== 'string') throw refused(`Expecting ${key} to be a string`);
    return value;
  }

  flag(key: string): boolean {
    const value = this.#given[key];
    if (value === undefined || value === null) return false;
    if (typeof value !== 'boolean') throw refused(`Expecting ${key} to be a boolean`);
    return value;
  }

  /** One text, or several. */
  texts(key: string): readonly string[] {
    const value = this.#given[key];
    if (value === undefined || value === null) return [];
    const list = Array.isArray(value) ? (value as readonly unknown[]) : [value];
    if (!list.every((item) => typeof item === 'string')) throw refused(`Expecting ${key} to be a string or []string`);
    return list as readonly string[];
  }
}

const encode = (text: string): string => text.split('/').map(encodeURIComponent).join('/');

const TYPES: Readonly<Record<string, WatchType>> = {
  key: {
    keys: ['key'],
    plan(params) {
      const key = params.text('key');
      if (key === '') throw refused('Must specify a single key to watch');
      return { path: `/v1/kv/${encode(key)}`, absent: null, data: (pairs) => inOrder(firstOf(pairs)) };
    },
  },
  keyprefix: {
    keys: ['prefix'],
    plan(params) {
      const prefix = params.text('prefix');
      if (prefix === '') throw refused('Must specify a single prefix to watch');
      return {
        path: `/v1/kv/${encode(prefix)}`,
        query: { recurse: true },
        absent: null,
        data: (pairs) => (Array.isArray(pairs) ? pairs.map(inOrder) : null),
      };
    },
  },
  services: { keys: [], plan: () => ({ path: '/v1/catalog/services' }) },
  nodes: { keys: [], plan: () => ({ path: '/v1/catalog/nodes' }) },
  service: {
    keys: ['service', 'tag', 'passingonly'],
    plan(params) {
      const service = params.text('service');
      if (service === '') throw refused('Must specify a single service to watch');
      const tags = params.texts('tag');
      return {
        path: `/v1/health/service/${encodeURIComponent(service)}`,
        query: {
          ...(params.flag('passingonly') ? { passing: '1' } : {}),
          ...(tags.length === 0 ? {} : { tag: tags }),
        },
      };
    },
  },
  checks: {
    keys: ['service', 'state'],
    plan(params) {
      const [service, state] = [params.text('service'), params.text('state')];
      if (service !== '' && state !== '') throw refused('Cannot specify service and state');
      return {
        path:
          service === ''
            ? `/v1/health/state/${encodeURIComponent(state || 'any')}`
            : `/v1/health/checks/${encodeURIComponent(service)}`,
      };
    },
  },
  connect_roots: { keys: [], plan: () => ({ path: '/v1/agent/connect/ca/roots' }) },
  connect_leaf: {
    keys: ['service'],
    plan(params) {
      const service = params.text('service');
      if (service === '') throw refused('Must specify a single service to watch');
      return { path: `/v1/agent/connect/ca/leaf/${encodeURIComponent(service)}` };
    },
  },
  agent_service: {
    keys: ['service_id'],
    plan(params) {
      const id = params.text('service_id');
      if (id === '') throw refused('Must specify a single service ID to watch');
      return { path: `/v1/agent/service/${encodeURIComponent(id)}`, waitBy: 'hash' };
    },
  },
  event: {
    keys: ['name'],
    plan(params) {
      const name = params.text('name');
      return {
        path: '/v1/event/list',
        query: name === '' ? {} : { name },
        grows: false,
        data: newEvents,
      };
    },
  },
};

export const WATCH_TYPES: readonly string[] = Object.keys(TYPES);

/** Throws `invalid_argument` with Consul's text when the parameters make no watch. */
export function watchPlan(given: WatchParams): WatchPlan {
  const params = new Params(given);
  const type = params.text('type');
  if (type === '') throw refused('Watch type must be specified');
  const kind = Object.hasOwn(TYPES, type) ? TYPES[type] : undefined;
  if (kind === undefined) throw refused(`Unsupported watch type: ${type}`);
  const plan = kind.plan(params);
  const unknown = Object.keys(given).filter((key) => ![...COMMON_KEYS, ...kind.keys].includes(key));
  if (unknown.length > 0) throw refused(`Invalid parameters: [${unknown.sort().join(' ')}]`);
  const datacenter = params.text('datacenter');
  return {
    type,
    waitBy: 'index',
    grows: true,
    data: (answer) => answer,
    ...plan,
    query: {
      ...plan.query,
      ...(datacenter === '' ? {} : { dc: datacenter }),
      ...(params.flag('stale') ? { stale: true } : {}),
    },
  };
}

function refused(text: string): IsthmusError {
  return new IsthmusError('invalid_argument', text);
}

function firstOf(list: unknown): unknown {
  return Array.isArray(list) ? (list[0] ?? null) : null;
}

/** A key in the order in which Consul's watches write its fields. */
function inOrder(pair: unknown): unknown {
  if (typeof pair !== 'object' || pair === null) return null;
  const {
    Key,
    CreateIndex,
    ModifyIndex,
    LockIndex,
    Flags,
    Value,
    Session = '',
    ...rest
  } = pair as Record<string, unknown>;
  return { Key, CreateIndex, ModifyIndex, LockIndex, Flags, Value, Session, ...rest };
}

/** Those that were not in the answer before. */
function newEvents(answer: unknown, before: unknown): unknown {
  if (!Array.isArray(answer) || !Array.isArray(before)) return answer;
  return answer.filter((event: unknown) => !before.some((known: unknown) => isDeepStrictEqual(known, event)));
}
