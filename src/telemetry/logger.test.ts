import { mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../lib/errors.ts';
import { createLogger, type LogLevel, openLogFile, parseLogLevel, type RootLogger } from './logger.ts';

function capture(level: LogLevel = 'debug'): {
  log: RootLogger;
  lines: () => Record<string, unknown>[];
  text: () => string;
} {
  const written: string[] = [];
  const destination = { write: (line: string): void => void written.push(line) };
  const log = createLogger({ level, destination, clock: new FakeClock(), name: 'n1' });
  return {
    log,
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
    text: () => written.join(''),
  };
}

it('writes JSON lines with time, level, node, fields and message', () => {
  const { log, lines, text } = capture();
  log.child({ component: 'store' }).child({ datacenter: 'dc1' }).warn('view broke', { revision: 7 });
  log.error('plain');
  expect(lines()).toEqual([
    {
      level: 'warn',
      time: '2026-01-01T00:00:00.000Z',
      node: 'n1',
      component: 'store',
      datacenter: 'dc1',
      revision: 7,
      msg: 'view broke',
    },
    { level: 'error', time: '2026-01-01T00:00:00.000Z', node: 'n1', msg: 'plain' },
  ]);
  expect(text().match(/\n/g)).toHaveLength(2);
});

it('changes its level while it runs, for children too', () => {
  const { log, lines } = capture('warn');
  const child = log.child({ component: 'http' });
  child.info('unseen');
  log.setLevel('debug');
  expect(log.level).toBe('debug');
  child.debug('seen');
  log.setLevel('error');
  child.warn('unseen');
  expect(lines().map((line) => line.msg)).toEqual(['seen']);
});

it('never writes secrets, wherever they hide', () => {
  const { log, text } = capture();
  const pem = '-----BEGIN EC PRIVATE KEY-----\nHIDDEN\n-----END EC PRIVATE KEY-----\n';
  log.child({ token: 'HIDDEN', component: 'acl' }).info('request', {
    headers: { 'X-Consul-Token': 'HIDDEN', Authorization: 'Bearer HIDDEN' },
    config: [{ PrivateKey: 'HIDDEN', private_key: 'HIDDEN', RootCert: 'shown' }],
    acl: { SecretID: 'HIDDEN', AccessorID: 'shown', tokens: 3 },
    map: new Map([['password', 'HIDDEN']]),
    bytes: Buffer.from('HIDDEN'),
    text: `before ${pem} after`,
    error: new IsthmusError('internal', `bad key ${pem}`, { cause: new Error(pem) }),
    cut: '-----BEGIN PRIVATE KEY-----\nHIDDEN',
  });
  log.warn(`message ${pem}`);
  expect(text()).not.toContain('HIDDEN');
  expect(text().match(/shown/g)).toHaveLength(2);
  expect(text()).toContain('"tokens":3');
  expect(text()).toContain('before [redacted]\\n after');
});

it('writes errors with code and cause, and a stack for defects only', () => {
  const { log, lines } = capture();
  const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
  log.warn('link broke', { error: new IsthmusError('no_path', 'No path to datacenter', { cause }) });
  log.error('bug', { error: new TypeError('x is undefined') });
  const [link, bug] = lines() as { error: Record<string, unknown> }[];
  expect(link?.error).toMatchObject({
    code: 'no_path',
    message: 'No path to datacenter',
    cause: { code: 'ECONNREFUSED' },
  });
  expect(link?.error.stack).toBeUndefined();
  expect(bug?.error.stack).toContain('logger.test.ts');
});

it('survives values that JSON has no word for', () => {
  const { log, lines } = capture();
  const loop: Record<string, unknown> = { name: 'loop' };
  loop.self = loop;
  log.info('odd', { loop, none: undefined, nothing: null, set: new Set([1]), at: new Date(0), secret: '' });
  expect(lines()[0]).toMatchObject({ nothing: null, set: [1], at: '1970-01-01T00:00:00.000Z', secret: '', msg: 'odd' });
});

it('writes to a file for its owner, which can be moved away', () => {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-log-'));
  const path = join(folder, 'sub', 'agent.log');
  const file = openLogFile(path, new FakeClock(), (cause) => expect(cause).toBeUndefined());
  const log = createLogger({ level: 'info', destination: file, clock: new FakeClock(), name: 'n1' });
  log.info('one');
  renameSync(path, `${path}.1`);
  file.reopen();
  log.info('two');
  file.close();
  expect([readFileSync(`${path}.1`, 'utf8'), readFileSync(path, 'utf8')].map((text) => JSON.parse(text).msg)).toEqual([
    'one',
    'two',
  ]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  rmSync(folder, { recursive: true });
});

it('knows the names of levels', () => {
  expect(['TRACE', 'debug', 'Info', 'WARN', 'err', 'error', 'loud', ''].map(parseLogLevel)).toEqual([
    'debug',
    'debug',
    'info',
    'warn',
    'error',
    'error',
    undefined,
    undefined,
  ]);
});
