import type { Autonomy } from '../../../model/autonomy.ts';
import type { ReplicationStatus } from '../../../model/replication.ts';
import { type NoArgs, read, write } from './method.ts';
import { OPEN, readNeeds, writeNeeds } from './rights.ts';
import { EVERYONE, OPERATORS, SERVERS_HERE } from './roles.ts';

/** The leader replicates: the others ask it. */
const OF_LEADER = { answered: 'here', leader: true, madeFrom: undefined } as const;

export const replicationReads = {
  /** How long the answering datacenter could run alone. */
  'federation.autonomy': read<NoArgs, Autonomy>({
    ...OF_LEADER,
    needs: {},
    callers: EVERYONE,
    rights: readNeeds('operator', 'read'),
  }),
  'replication.status': read<NoArgs, ReplicationStatus>({
    ...OF_LEADER,
    needs: {},
    callers: EVERYONE,
    rights: readNeeds('operator', 'read'),
  }),
  /** How old what is copied may be, milliseconds by kind. */
  'replication.ages': read<NoArgs, Readonly<Record<string, number>>>({
    ...OF_LEADER,
    needs: {},
    callers: SERVERS_HERE,
    rights: OPEN,
  }),
  /** Answered once a revision of the primary is readable: with the revision at which it is here. */
  'replication.applied': read<{ readonly kind: string; readonly revision: number }, number>({
    ...OF_LEADER,
    needs: { kind: 'text', revision: 'number' },
    callers: SERVERS_HERE,
    rights: OPEN,
  }),
};

export const replicationWrites = {
  /** An operator's word that the primary's store is right although it is older, or another one. */
  'replication.acceptSource': write<{ readonly kind: string }, null>({
    decided: 'here',
    leader: true,
    repeatable: false,
    arrivesIn: undefined,
    needs: { kind: 'text' },
    audit: ['kind'],
    callers: OPERATORS,
    rights: writeNeeds('operator', 'write'),
  }),
};
