import { expect, it } from 'vitest';
import { describeDifference } from './compare.ts';
import type { HttpFile, Recording } from './recording.ts';
import type { Replay } from './replay.ts';

/** A test for each recording, in their order: what differs and is not known fails it. */
export function replayTests(
  replay: Replay,
  file: HttpFile,
  recordings: readonly Recording[],
  before: (recording: Recording) => void = () => undefined,
): void {
  for (const [at, recording] of recordings.entries()) {
    const { method, path } = recording.request;
    it(`${at} ${recording.name}: ${method} ${path} in ${recording.dc}`, async () => {
      before(recording);
      const differences = await replay.step(file, recording);
      // An error of its own: an assertion would shorten the lines.
      if (differences.length > 0) throw new Error(differences.map(describeDifference).join('\n'));
    });
  }
}

/** Comes after all tests of a replay. */
export function knownDifferencesTest(replay: Replay): void {
  it('every known difference still differs', () => {
    expect(
      replay
        .gone()
        .map(({ file, name, at }) => `${file} ${name} ${at.source}`)
        .join('\n'),
    ).toBe('');
  });
}
