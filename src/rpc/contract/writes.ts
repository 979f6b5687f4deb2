import { aclWrites } from './methods/acl.ts';
import { caWrites } from './methods/ca.ts';
import { catalogWrites } from './methods/catalog.ts';
import { configWrites } from './methods/config.ts';
import { enrolmentWrites } from './methods/enrolment.ts';
import { eventWrites } from './methods/events.ts';
import { intentionWrites } from './methods/intentions.ts';
import { kvWrites } from './methods/kv.ts';
import type { WriteMethod } from './methods/method.ts';
import { nodeWrites } from './methods/nodes.ts';
import { operatorWrites } from './methods/operator.ts';
import { queryWrites } from './methods/queries.ts';
import { replicationWrites } from './methods/replication.ts';
import { sessionWrites } from './methods/sessions.ts';
import { txnWrites } from './methods/txn.ts';

const ALL = {
  ...catalogWrites,
  ...configWrites,
  ...intentionWrites,
  ...caWrites,
  ...queryWrites,
  ...kvWrites,
  ...sessionWrites,
  ...txnWrites,
  ...aclWrites,
  ...nodeWrites,
  ...operatorWrites,
  ...enrolmentWrites,
  ...replicationWrites,
  ...eventWrites,
};

type All = typeof ALL;

export type WriteName = keyof All;
export type WriteArgs<N extends WriteName> = NonNullable<All[N]['types']>['args'];
export type WriteValue<N extends WriteName> = NonNullable<All[N]['types']>['value'];

/**
 * Everything that can be changed, each by one name. The arguments are what the caller sent: the domains validate them.
 */
export const WRITES: { readonly [N in WriteName]: WriteMethod<WriteArgs<N>, WriteValue<N>> } = ALL;
