import { status } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { parseEndpoint } from './endpoint.ts';
import { CallFailure } from './failure.ts';

it.each([
  [status.UNAVAILABLE, 'Connection dropped', 'doubtful'],
  [status.DEADLINE_EXCEEDED, 'no answer within 2000 ms', 'doubtful'],
  [status.CANCELLED, 'Call cancelled', 'doubtful'],
  [status.UNKNOWN, 'etcdserver: something new', 'doubtful'],
  [status.UNAVAILABLE, 'etcdserver: request timed out, possibly due to previous leader failure', 'doubtful'],
  [
    status.UNAVAILABLE,
    'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ',
    'unsent',
  ],
  [status.UNAVAILABLE, 'etcdserver: no leader', 'unsent'],
  [status.RESOURCE_EXHAUSTED, 'etcdserver: too many requests', 'busy'],
  [status.UNAUTHENTICATED, 'etcdserver: invalid auth token', 'token'],
  [status.INVALID_ARGUMENT, 'etcdserver: user name is empty', 'token'],
  [status.INVALID_ARGUMENT, 'etcdserver: revision of auth store is old', 'token'],
  [status.RESOURCE_EXHAUSTED, 'etcdserver: mvcc: database space exceeded', 'final'],
  [status.PERMISSION_DENIED, 'etcdserver: permission denied', 'final'],
  [status.NOT_FOUND, 'etcdserver: requested lease not found', 'final'],
] as const)('%i %s is %s', (code, details, kind) => {
  const failure = CallFailure.of('a:1', { code, details });
  expect(failure.kind).toBe(kind);
  expect(failure.toError('write').message).toContain('etcd at a:1');
});

it('tells what failed without noise', () => {
  const details = 'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1. Resolution note: ';
  const { message } = CallFailure.of('a:1', { code: status.UNAVAILABLE, details }).toError('write');
  expect(message).toBe('etcd at a:1 did not write: no connection: connect ECONNREFUSED 127.0.0.1:1');
});

it('reads endpoints', () => {
  expect(parseEndpoint('https://etcd1:2379', false)).toMatchObject({ address: 'etcd1:2379', secure: true });
  expect(parseEndpoint('http://[::1]:99/', true)).toMatchObject({ address: '[::1]:99', secure: false });
  expect(parseEndpoint('10.0.0.1', true)).toMatchObject({ address: '10.0.0.1:2379', secure: true });
  for (const bad of ['', 'ftp://a', 'http://a/b', 'u:p@host:1', 'a:b', '::1']) {
    expect(() => parseEndpoint(bad, false)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  }
});
