import { expect, it } from 'vitest';
import { Slots } from './slots.ts';

it('lets so many through, the others in their order, and forgets who gave up', async () => {
  const slots = new Slots(2);
  const never = new AbortController();
  const entered: string[] = [];
  const enter = async (name: string, signal = never.signal): Promise<() => void> => {
    const leave = await slots.take(signal);
    entered.push(name);
    return leave;
  };
  const [a, b] = [await enter('a'), await enter('b')];
  const gaveUp = new AbortController();
  const c = enter('c', gaveUp.signal);
  const d = enter('d');
  const e = enter('e');
  gaveUp.abort();
  await expect(c).rejects.toMatchObject({ code: 'cancelled' });
  expect([slots.taken, slots.waiting]).toEqual([2, 2]);
  a();
  a(); // a second time gives nothing back
  const leaveD = await d;
  expect(entered).toEqual(['a', 'b', 'd']);
  b();
  const leaveE = await e;
  leaveD();
  leaveE();
  expect(entered).toEqual(['a', 'b', 'd', 'e']);
  expect([slots.taken, slots.waiting]).toEqual([0, 0]);
});
