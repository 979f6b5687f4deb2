import { aclReads } from './methods/acl.ts';
import { caReads } from './methods/ca.ts';
import { catalogReads } from './methods/catalog.ts';
import { configReads } from './methods/config.ts';
import { enrolmentReads } from './methods/enrolment.ts';
import { eventReads } from './methods/events.ts';
import { intentionReads } from './methods/intentions.ts';
import { kvReads } from './methods/kv.ts';
import type { ReadMethod } from './methods/method.ts';
import { nodeReads } from './methods/nodes.ts';
import { operatorReads } from './methods/operator.ts';
import { queryReads } from './methods/queries.ts';
import { replicationReads } from './methods/replication.ts';
import { sessionReads } from './methods/sessions.ts';
import { txnReads } from './methods/txn.ts';

const ALL = {
  ...nodeReads,
  ...operatorReads,
  ...catalogReads,
  ...configReads,
  ...intentionReads,
  ...caReads,
  ...queryReads,
  ...kvReads,
  ...sessionReads,
  ...txnReads,
  ...aclReads,
  ...enrolmentReads,
  ...replicationReads,
  ...eventReads,
};

type All = typeof ALL;

export type ReadName = keyof All;
export type ReadArgs<N extends ReadName> = NonNullable<All[N]['types']>['args'];
export type ReadValue<N extends ReadName> = NonNullable<All[N]['types']>['value'];

/**
 * Everything that can be read, each by one name. A read can be asked for once, blocked on until it changes, or watched:
 * all three are the same definition on the server.
 */
export const READS: { readonly [N in ReadName]: ReadMethod<ReadArgs<N>, ReadValue<N>> } = ALL;
