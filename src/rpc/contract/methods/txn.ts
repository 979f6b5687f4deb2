import type { TxnAnswer, TxnError, TxnOperation, TxnResult } from '../../../model/kv.ts';
import type { Rights } from '../../../model/rights.ts';
import { mayChangeKey, readsKey } from './kv.ts';
import { OWN_DATA, read, type StoredFacts, write } from './method.ts';
import { seesNode, seesService, textOf } from './rights.ts';
import { EVERYONE } from './roles.ts';

interface TxnArgs {
  readonly operations: readonly TxnOperation[];
  /** Set on the way by the guard: what the caller may not do. */
  readonly refused?: readonly TxnError[];
}

const DENIED = 'Permission denied';

/** The operations that the caller may not do, as Consul lists them. */
function refusedOf(rights: Rights, operations: readonly TxnOperation[], facts: StoredFacts): readonly TxnError[] {
  if (!Array.isArray(operations)) return [];
  return operations.flatMap((operation, OpIndex) =>
    mayRun(rights, operation, facts) ? [] : [{ OpIndex, What: DENIED }],
  );
}

function mayRun(rights: Rights, { KV, Node, Service, Check, Session }: TxnOperation, facts: StoredFacts): boolean {
  if (KV !== undefined) {
    if (typeof KV.Key !== 'string') return false;
    switch (KV.Verb) {
      case 'get':
      case 'get-tree':
      case 'get-or-empty':
        return true; // what may not be seen is left out of the answer
      case 'check-session':
      case 'check-index':
      case 'check-not-exists':
        return readsKey(rights, KV.Key);
      default:
        return mayChangeKey(rights, KV);
    }
  }
  if (Node !== undefined) {
    if (Node.Verb === 'get') return true;
    const id = textOf(Node.Node, 'id');
    const byId = id === '' ? undefined : facts.nodeWithId(id); // a node is known by its ID under any name
    return [textOf(Node.Node, 'node'), ...(byId === undefined ? [] : [byId])].every((name) =>
      rights.may('node', name, 'write'),
    );
  }
  if (Service !== undefined) {
    if (Service.Verb === 'get') return true;
    const id = textOf(Service.Service, 'id') || textOf(Service.Service, 'service');
    const stored = facts.services(Service.Node).find(({ ID }) => ID.toLowerCase() === id.toLowerCase())?.Service;
    const named = textOf(Service.Service, 'service');
    const names = [stored, named].filter((name) => name !== undefined && name !== '') as string[];
    return names.length > 0
      ? names.every((name) => rights.may('service', name, 'write'))
      : rights.mayAll('service', 'write');
  }
  if (Check !== undefined) {
    if (Check.Verb === 'get') return true;
    const node = textOf(Check.Check, 'node');
    const id = textOf(Check.Check, 'checkid');
    const stored = facts.checks(node).find(({ CheckID }) => CheckID.toLowerCase() === id.toLowerCase())?.ServiceName;
    const serviceId = textOf(Check.Check, 'serviceid');
    const target = facts.services(node).find(({ ID }) => ID.toLowerCase() === serviceId.toLowerCase())?.Service ?? '';
    // It belongs to a service now, or will; a check of neither belongs to the node.
    return [...(stored === undefined ? [] : [stored]), target].every((service) =>
      service === '' ? rights.may('node', node, 'write') : rights.may('service', service, 'write'),
    );
  }
  if (Session !== undefined) {
    const node = facts.sessionNode(textOf(Session.Session, 'id'));
    return node === undefined || rights.may('session', node, 'write');
  }
  return true; // it is refused for what it is
}

function seesResult(rights: Rights, { KV, Node, Service, Check }: TxnResult): boolean {
  if (KV !== undefined) return readsKey(rights, KV.Key);
  if (Node !== undefined) return seesNode(rights, textOf(Node, 'node'));
  if (Service !== undefined) return seesService(rights, textOf(Service, 'service'));
  if (Check === undefined) return true;
  return seesNode(rights, textOf(Check, 'node')) && seesService(rights, textOf(Check, 'servicename'));
}

function shownAnswer(rights: Rights, answer: TxnAnswer): TxnAnswer {
  const { Results, Errors } = answer;
  if (Results === null) return answer;
  return { Results: Results.filter((result) => seesResult(rights, result)), Errors };
}

export const txnReads = {
  /** A transaction that only reads. */
  'txn.read': read<TxnArgs, TxnAnswer>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: { show: (rights, answer) => shownAnswer(rights, answer) },
    narrow: (rights, args, facts) => ({ ...args, refused: refusedOf(rights, args.operations, facts) }),
    current: true,
  }),
};

export const txnWrites = {
  /** Each operation is refused or carried out with all others; what they read is in the answer. */
  'txn.apply': write<TxnArgs, TxnAnswer>({
    decided: 'here',
    leader: false,
    repeatable: false,
    arrivesIn: undefined,
    needs: {},
    audit: ['operations.KV.Key', 'operations.Node.Node.Node', 'operations.Service.Node', 'operations.Check.Check.Node'],
    callers: EVERYONE,
    rights: () => true,
    narrow: (rights, args, facts) => ({ ...args, refused: refusedOf(rights, args.operations, facts) }),
    show: (rights, answer) => shownAnswer(rights, answer),
  }),
};
