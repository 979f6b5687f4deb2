import { afterEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { createReplicationAges } from './ages.ts';

const never = new AbortController().signal;
let stop: () => Promise<void>;
afterEach(() => stop());

describe('the age of what is replicated', () => {
  it('is asked of the leader by the others, and grows while it can not be asked', async () => {
    const clock = new FakeClock();
    const leadership = { leading: false };
    let age = 0;
    let reachable = true;
    const contract = { read: async () => ({ value: { entries: age } }) } as unknown as ServerContract;
    const { service, ageMs } = createReplicationAges({
      leadership,
      leader: {
        async find() {
          if (!reachable) throw new IsthmusError('unavailable', 'No cluster leader');
          return contract;
        },
      },
      replicator: { ageMs: () => 77 },
      clock,
    });
    stop = () => service.stop();
    await service.start(never);
    await clock.advance(4_000);
    expect(ageMs('entries')).toBe(0);
    age = 30_000; // the leader has lost the primary
    await clock.advance(1_000);
    expect(ageMs('entries')).toBe(30_000);
    await clock.set(-3_600_000); // whatever becomes of the time of day
    await clock.advance(1_000);
    expect(ageMs('entries')).toBe(31_000);
    age = 0;
    await clock.advance(4_000);
    expect(ageMs('entries')).toBe(0);
    reachable = false;
    await clock.advance(20_000);
    expect(ageMs('entries')).toBeGreaterThanOrEqual(15_000);
    leadership.leading = true;
    expect(ageMs('entries')).toBe(77);
  });
});
