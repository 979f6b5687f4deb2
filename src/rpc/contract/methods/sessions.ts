import type { Session, SessionRequest } from '../../../model/kv.ts';
import type { Rights } from '../../../model/rights.ts';
import { type NoArgs, OWN_DATA, read, write } from './method.ts';
import { list } from './rights.ts';
import { EVERYONE } from './roles.ts';

const sessions = list<Session>((rights, { Node }) => rights.may('session', Node, 'read'));

export const sessionReads = {
  'sessions.list': read<NoArgs, readonly Session[]>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: sessions,
    current: true,
  }),
  'sessions.info': read<{ readonly id: string }, readonly Session[]>({
    ...OWN_DATA,
    needs: { id: 'text' },
    callers: EVERYONE,
    rights: sessions,
    current: true,
  }),
  'sessions.node': read<{ readonly node: string }, readonly Session[]>({
    ...OWN_DATA,
    needs: { node: 'text' },
    callers: EVERYONE,
    rights: sessions,
    current: true,
  }),
};

/** @param node of the session; one that does not exist can't be ended, which the answer says */
const mayEnd = (rights: Rights, node: string | undefined): boolean =>
  node === undefined || rights.may('session', node, 'write');

const HERE = { decided: 'here', arrivesIn: undefined, callers: EVERYONE } as const;

export const sessionWrites = {
  'sessions.create': write<SessionRequest, { readonly ID: string }>({
    ...HERE,
    leader: false,
    repeatable: false,
    needs: { Node: 'text' },
    audit: ['Node', 'Name'],
    rights: (rights, { Node }) => rights.may('session', Node, 'write'),
  }),
  'sessions.destroy': write<{ readonly id: string }, true>({
    ...HERE,
    leader: false,
    repeatable: true,
    needs: { id: 'text' },
    audit: ['id'],
    rights: (rights, { id }, facts) => mayEnd(rights, facts.sessionNode(id)),
  }),
  /** Its time begins anew; the leader counts it. None: there is no such session. */
  'sessions.renew': write<{ readonly id: string }, readonly Session[]>({
    ...HERE,
    leader: true,
    repeatable: true,
    needs: { id: 'text' },
    audit: 'never',
    rights: (rights, { id }, facts) => mayEnd(rights, facts.sessionNode(id)),
  }),
};
