import { BY_SERVERS } from '../../../agent/access/rules.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { MAX_TXN_OPERATIONS, onlyReads, type TxnAnswer, type TxnOperation, type TxnResult } from '../../../model/kv.ts';
import { flagsAsTexts, jsonWithFlags } from '../../../model/kv-json.ts';
import { NODE_SERVICE } from '../../../model/registration/fields.ts';
import { parseConsistency } from '../consistency.ts';
import { asInt, asList, asString, asStruct, type Decoder, decodeBody } from '../decode.ts';
import type { ApiRequest, ApiResponse, Route } from '../route.ts';
import { callOptions, DATACENTER } from '../write-route.ts';
import { CHECK, STRING_MAP } from './catalog.ts';
import type { KvLimits, KvRouteDeps } from './kv.ts';

/** /v1/txn */
export function txnRoutes(deps: KvRouteDeps): readonly Route[] {
  const { kvLimits, contract } = deps;
  return [
    {
      method: 'PUT',
      path: '/v1/txn',
      about:
        'Carry out up to 128 operations on keys, nodes, services, checks and sessions, all of them or none; each ' +
        'takes the ' +
        'right of its own.',
      acl: 'key:read',
      rule: BY_SERVERS,
      query: [
        DATACENTER,
        { name: 'stale', about: 'When nothing is written: any server may answer.' },
        {
          name: 'consistent',
          about: 'When nothing is written: the answer must include every write acknowledged before.',
        },
      ],
      bodyLimit: {
        maxBytes: kvLimits.maxTxnBytes,
        refuse: () => new IsthmusError('too_large', `Request body too large, max size: ${kvLimits.maxTxnBytes} bytes`),
      },
      async handle(request) {
        const operations = operationsOf(request, kvLimits);
        const pretty = request.query.has('pretty');
        if (!onlyReads(operations)) {
          const { value } = await contract.write('txn.apply', { operations }, callOptions(request));
          return answerOf(value, value, pretty);
        }
        const consistency = parseConsistency(request.query);
        const result = await contract.read('txn.read', { operations }, { ...callOptions(request), consistency });
        const { knownLeader, lastContactMs } = result;
        const meta = {
          Index: 0,
          LastContact: Math.round(lastContactMs * 1e6),
          KnownLeader: knownLeader,
          ConsistencyLevel: '',
          NotModified: false,
        };
        return answerOf(result.value, { ...shown(result.value), ...meta }, pretty, {
          'X-Consul-Knownleader': String(knownLeader),
          'X-Consul-Lastcontact': String(Math.round(lastContactMs)),
        });
      },
    },
  ];
}

function answerOf(
  answer: TxnAnswer,
  body: TxnAnswer,
  pretty: boolean,
  headers: Readonly<Record<string, string>> = {},
): ApiResponse {
  const bytes = Buffer.from(jsonWithFlags(shown(body), pretty));
  return { status: answer.Errors === null ? 200 : 409, headers, bytes };
}

const LONE_SURROGATES = /[\ud800-\udfff]/gu;

/** Bytes of keys that are no UTF-8 are shown as U+FFFD, as Go's JSON does. */
function shown<A extends TxnAnswer>(answer: A): A {
  const { Results } = answer;
  if (Results === null) return answer;
  return { ...answer, Results: Results.map(shownResult) };
}

function shownResult(result: TxnResult): TxnResult {
  const { KV } = result;
  return KV === undefined ? result : { KV: { ...KV, Key: KV.Key.replace(LONE_SURROGATES, '\ufffd') } };
}

function operationsOf(request: ApiRequest, { maxValueBytes }: KvLimits): readonly TxnOperation[] {
  const body = Buffer.from(flagsAsTexts(request.body.toString('utf8')));
  const decoded = decodeBody(
    { body, ...(request.passOver && { passOver: request.passOver }) },
    OPERATIONS,
    'Failed to parse body: ',
  );
  if (!Array.isArray(decoded))
    throw new IsthmusError('invalid_argument', 'Failed to parse body: a list of operations is expected');
  const given = decoded as readonly TxnOperation[];
  if (given.length > MAX_TXN_OPERATIONS)
    throw new IsthmusError(
      'too_large',
      `Transaction contains too many operations (${given.length} > ${MAX_TXN_OPERATIONS})`,
    );
  return given.map((operation) => {
    const { KV } = operation;
    const size = Buffer.byteLength(KV?.Value ?? '', 'base64');
    if (KV !== undefined && size > maxValueBytes)
      throw new IsthmusError(
        'too_large',
        `Value for key ${JSON.stringify(KV.Key)} is too large (${size} > ${maxValueBytes} bytes)`,
      );
    return complete(operation);
  });
}

/** One part, whatever was left out of it. */
function complete({ KV, Node, Service, Check, Session }: TxnOperation): TxnOperation {
  if (KV !== undefined) return { KV: { ...KV, Verb: KV.Verb ?? '', Key: KV.Key ?? '' } };
  if (Node !== undefined) return { Node: { Verb: Node.Verb ?? '', Node: Node.Node ?? {} } };
  if (Service !== undefined)
    return { Service: { Verb: Service.Verb ?? '', Node: Service.Node ?? '', Service: Service.Service ?? {} } };
  if (Check !== undefined) return { Check: { Verb: Check.Verb ?? '', Check: Check.Check ?? {} } };
  if (Session !== undefined) return { Session: { Verb: Session.Verb ?? '', Session: Session.Session ?? {} } };
  return {};
}

const VALUE: Decoder<string> = {
  decode(value) {
    if (value === null) return undefined;
    if (typeof value !== 'string') throw new IsthmusError('invalid_argument', `unexpected value type: ${typeof value}`);
    const at = faultInBase64(value);
    if (at !== undefined) throw new IsthmusError('invalid_argument', `illegal base64 data at input byte ${at}`);
    return value.replace(/[\r\n]/g, '');
  },
};

/** Where Go's decoder stops; line ends count for nothing. */
function faultInBase64(text: string): number | undefined {
  const at = text.search(/[^A-Za-z0-9+/\r\n]/);
  const digits = (at < 0 ? text : text.slice(0, at)).replace(/[\r\n]/g, '').length;
  if (at < 0) return digits % 4 === 0 ? undefined : text.length;
  const padding = (4 - (digits % 4)) % 4;
  if (padding === 0 || padding > 2 || text.slice(at).replace(/[\r\n]/g, '') !== '='.repeat(padding)) return at;
  return undefined;
}

const FLAGS: Decoder<number | string> = {
  decode(value) {
    if (value === null) return undefined;
    if (typeof value === 'string' && /^[0-9]{16,20}$/.test(value)) {
      const flags = BigInt(value);
      if (flags < 2n ** 64n) return flags <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(flags) : flags.toString();
    }
    if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
    throw new IsthmusError('invalid_argument', 'Flags must be a number of 64 bits');
  },
};

const OPERATIONS = asList(
  asStruct('api.TxnOp', {
    KV: asStruct('api.KVTxnOp', {
      Verb: asString,
      Key: asString,
      Value: VALUE,
      Flags: FLAGS,
      Index: asInt,
      Session: asString,
    }),
    Node: asStruct('api.NodeTxnOp', {
      Verb: asString,
      Node: asStruct('api.Node', {
        ID: asString,
        Node: asString,
        Address: asString,
        Datacenter: asString,
        TaggedAddresses: STRING_MAP,
        Meta: STRING_MAP,
        CreateIndex: asInt,
        ModifyIndex: asInt,
      }),
    }),
    Service: asStruct('api.ServiceTxnOp', { Verb: asString, Node: asString, Service: NODE_SERVICE }),
    Check: asStruct('api.CheckTxnOp', { Verb: asString, Check: CHECK }),
    Session: asStruct('api.SessionTxnOp', { Verb: asString, Session: asStruct('api.Session', { ID: asString }) }),
  }),
  'api.TxnOps',
);
