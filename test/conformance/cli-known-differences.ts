export interface KnownCommandDifference {
  /** Words that the command's arguments start with. */
  readonly command: string;
  readonly at: 'status' | 'stdout' | 'stderr';
  readonly reason: string;
}

/** Where commands differ from Consul's on purpose. An entry that no longer differs fails the suite. */
export const KNOWN_COMMAND_DIFFERENCES: readonly KnownCommandDifference[] = [
  {
    command: 'connect proxy',
    at: 'stdout',
    reason: 'the first line names the program',
  },
];

/** Recorded commands that are not run: what they belong to is not part of this program. */
export const SKIPPED_COMMANDS: readonly { readonly command: string; readonly reason: string }[] = [
  { command: 'connect envoy', reason: 'bootstraps Envoy, which the agent does not configure' },
  { command: 'operator raft', reason: 'there is no consensus group to operate' },
  { command: 'operator autopilot', reason: 'there is no consensus group to operate' },
  { command: 'kv', reason: 'there is no key-value store' },
  {
    command: 'snapshot',
    reason: 'archives have a format of our own; src/cli/snapshot-file.test.ts compares the output',
  },
];
