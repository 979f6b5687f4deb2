import { describe, expect, it } from 'vitest';
import { settle } from '../../test/fakes/fake-clock.ts';
import { KeyedMutex } from './keyed-mutex.ts';

describe('a mutex for each key', () => {
  it('runs work of one key in order, also after a failure, and that of others meanwhile', async () => {
    const turns = new KeyedMutex();
    const log: string[] = [];
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const first = turns.run('a', async () => {
      log.push('a1');
      await held;
      throw new Error('failed');
    });
    const failed = expect(first).rejects.toThrow('failed');
    const second = turns.run('a', async () => log.push('a2'));
    await turns.run('b', async () => log.push('b'));
    await settle();
    expect(log).toEqual(['a1', 'b']);
    release();
    await failed;
    await second;
    await turns.run('a', async () => log.push('a3'));
    expect(log).toEqual(['a1', 'b', 'a2', 'a3']);
  });
});
