import type { AutopilotConfig, AutopilotConfigInput } from '../../../model/autopilot.ts';
import { type NoArgs, OWN_DATA, read, write } from './method.ts';
import { readNeeds, writeNeeds } from './rights.ts';
import { EVERYONE, THIS_DATACENTER } from './roles.ts';

/** What operators ask and say about the servers, in the words of Consul's consensus. */

const shown = { ...OWN_DATA, needs: {}, callers: EVERYONE, rights: readNeeds('operator', 'read') } as const;

export const operatorReads = {
  'operator.raftConfiguration': read<NoArgs, unknown>(shown),
  'operator.autopilotHealth': read<NoArgs, unknown>(shown),
  'operator.autopilotState': read<NoArgs, unknown>(shown),
  'operator.autopilotConfiguration': read<NoArgs, AutopilotConfig>(shown),
  /** How much is registered. */
  'operator.usage': read<NoArgs, unknown>(shown),
};

const changed = {
  decided: 'here',
  repeatable: false,
  arrivesIn: undefined,
  callers: THIS_DATACENTER,
  rights: writeNeeds('operator', 'write'),
} as const;

export const operatorWrites = {
  /** True when it was written: with `cas` only over what has this index. */
  'operator.setAutopilot': write<{ readonly config: AutopilotConfigInput; readonly cas?: number }, boolean>({
    ...changed,
    leader: false,
    needs: { config: 'object' },
    audit: [],
  }),
  /** Takes a server that has failed off the list. */
  'operator.removeServer': write<{ readonly id?: string; readonly address?: string }, null>({
    ...changed,
    leader: false,
    needs: {},
    audit: ['id', 'address'],
  }),
  /** The leader gives it up, for another server to lead. */
  'operator.transferLeader': write<NoArgs, null>({ ...changed, leader: true, needs: {}, audit: [] }),
};
