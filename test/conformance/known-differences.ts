import type { KnownDifference, SkippedRecording } from './replay.ts';

/** Where answers differ from the peer's on purpose. An entry that no longer differs fails the suite. */
export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    file: 'status-and-errors',
    name: 'self',
    at: /body\.Stats\..*/,
    reason: 'counters of the peer’s consensus and gossip, which do not exist here; our own stand in their place',
  },
  {
    file: 'status-and-errors',
    name: 'host',
    at: /body\..*/,
    reason: 'the recording leaves the metrics out',
  },
];

/** Recordings that are not sent. */
export const SKIPPED: readonly SkippedRecording[] = [];
