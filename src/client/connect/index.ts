/** `isthmus/connect`: for Node applications that are linked natively. See docs/native-applications.md. */
export { type ErrorCode, IsthmusError } from '../../lib/errors.ts';
export type { ClientOptions, ClientTls } from '../options.ts';
export { createConnect } from './connect.ts';
export type { Caller, Connect, ConnectOptions, Problem, Refusal, Upstream, UpstreamOptions } from './types.ts';
