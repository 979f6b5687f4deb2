/**
 * Who calls a method of the server port, by the certificate of the connection:
 * - server: a server of the datacenter that is called
 * - otherServer: a server of another datacenter
 * - client: a client agent of the datacenter that is called
 * A client agent of another datacenter is none of these: it has no business here.
 */
export type Role = 'server' | 'otherServer' | 'client';

/** `byToken`: only where access control is on, so that a token decides. */
export type Admission = 'always' | 'byToken' | 'never';

export type Callers = Readonly<Record<Role, Admission>>;

export const EVERYONE: Callers = { server: 'always', otherServer: 'always', client: 'always' };
export const THIS_DATACENTER: Callers = { server: 'always', otherServer: 'never', client: 'always' };
export const SERVERS: Callers = { server: 'always', otherServer: 'always', client: 'never' };
export const SERVERS_HERE: Callers = { server: 'always', otherServer: 'never', client: 'never' };
/** What an operator does at a server: from elsewhere it takes a token, else every agent's certificate could do it. */
export const OPERATORS: Callers = { server: 'always', otherServer: 'byToken', client: 'byToken' };
