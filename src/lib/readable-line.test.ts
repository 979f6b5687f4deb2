import { expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { createLogger } from '../telemetry/logger.ts';
import { readableLine } from './readable-line.ts';

it('shows a line of the log to a person, with nothing that moves the cursor', () => {
  const lines: string[] = [];
  const log = createLogger({
    level: 'debug',
    clock: new FakeClock(),
    name: 'n1',
    destination: { write: (line) => lines.push(readableLine(line)) },
  });
  log.child({ component: 'agent' }).info('registered', { id: 'web-1', count: 3, text: 'a b\u001b[2J\u009b' });
  log.warn('alone');
  expect(lines).toEqual([
    '2026-01-01T00:00:00.000Z [INFO]  agent: registered: id=web-1 count=3 text="a b\\u001b[2J\\u009b"\n',
    '2026-01-01T00:00:00.000Z [WARN]  alone\n',
  ]);
  expect(readableLine('plain\n')).toBe('plain\n');
});
