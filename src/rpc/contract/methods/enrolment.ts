import type { InviteArgs, ListedInvitation, MadeInvitation } from '../../../model/transport.ts';
import { type NoArgs, OWN_DATA, read, write } from './method.ts';
import { readNeeds, writeNeeds } from './rights.ts';
import { EVERYONE, OPERATORS } from './roles.ts';

export const enrolmentReads = {
  /** Invitations of the answering datacenter, without their secrets. */
  'transport.invitations': read<NoArgs, readonly ListedInvitation[]>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: readNeeds('operator', 'read'),
  }),
};

const HERE = { decided: 'here', leader: false, repeatable: false, arrivesIn: undefined, callers: OPERATORS } as const;

export const enrolmentWrites = {
  /** Invites a datacenter (asked of the primary) or an agent of the datacenter that is asked. */
  'transport.invite': write<InviteArgs, MadeInvitation>({
    ...HERE,
    needs: {},
    audit: ['Kind', 'JoiningDatacenter'],
    rights: writeNeeds('operator', 'write'),
  }),
  'transport.revokeInvitation': write<{ readonly id: string }, null>({
    ...HERE,
    needs: { id: 'text' },
    audit: ['id'],
    rights: writeNeeds('operator', 'write'),
  }),
};
