import { expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { distance, ORIGIN_COORDINATE } from '../../model/coordinate.ts';
import { noLog } from '../../telemetry/types.ts';
import { CoordinateReporter } from './coordinate-reporter.ts';

it('tells the round-trip time once it is measured, and again when it has changed by enough to matter', async () => {
  const clock = new FakeClock();
  const told: number[] = [];
  let rttMs: number | undefined;
  const reporter = new CoordinateReporter({
    node: 'n1',
    rttMs: () => rttMs,
    contract: {
      write: async (_name: string, args: unknown) => {
        const { Node, Coord } = args as { Node: string; Coord: typeof ORIGIN_COORDINATE };
        expect(Node).toBe('n1');
        told.push(Math.round(distance(Coord, ORIGIN_COORDINATE) * 1_000_000) / 1_000);
        return { revision: 1, value: null as never };
      },
    },
    clock,
    random: () => 0,
    log: noLog,
  });
  await reporter.start();
  await clock.advance(10_000);
  expect(told).toEqual([]);
  for (const [now, expected] of [
    [0.4, [0.4]],
    [0.8, [0.4]],
    [4, [0.4, 4]],
    [4.6, [0.4, 4]],
    [1, [0.4, 4, 1]],
  ] as const) {
    rttMs = now;
    await clock.advance(30_000);
    expect(told).toEqual(expected);
  }
  await reporter.stop();
});
