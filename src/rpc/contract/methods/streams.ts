import { type Callers, EVERYONE, OPERATORS, SERVERS, THIS_DATACENTER } from './roles.ts';

/** What is carried beside reads, watches and writes, and who may call it over the server port. */
export const STREAMS = {
  /** The primary's tables, for those who copy them; a token decides which (`server/replication-rights.ts`). */
  changes: SERVERS,
  /** A datacenter's whole store; a token must have all rights. */
  saveSnapshot: OPERATORS,
  restoreSnapshot: OPERATORS,
  /** Between servers of different datacenters. */
  link: SERVERS,
  /** Of a node's agent with a server. */
  session: THIS_DATACENTER,
  /** For a certificate, by an invitation: whoever has one, with a certificate or without any. */
  enrolJoin: EVERYONE,
  /** For another certificate in place of the caller's. A server gets its own from its store. */
  enrolRenew: { server: 'never', otherServer: 'always', client: 'always' },
} as const satisfies Readonly<Record<string, Callers>>;

export type StreamName = keyof typeof STREAMS;
