import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { readSnapshot, summarize } from '../snapshot-file.ts';

export const snapshotRestore: Command = {
  path: ['snapshot', 'restore'],
  synopsis: "Replace everything that a datacenter's store holds by a snapshot",
  argsUsage: 'FILE',
  about:
    'The snapshot replaces everything in one step: what was written after the snapshot is lost. A ' +
    'snapshot that is damaged, of another format, or of another datacenter or trust domain is refused and changes ' +
    'nothing. After a restore of the primary, a secondary that would lose much asks for a confirmation: see "isthmus ' +
    'replication status".',
  flags: [{ name: 'force', kind: 'bool', about: 'Accept a snapshot of another datacenter or trust domain.' }],
  api: 'server',
  async run({ args, flags, client, json, printJson, print }) {
    const [path, ...rest] = args;
    if (path === undefined || rest.length > 0) throw new UsageError('Must specify one argument: the file');
    await doing('Error reading snapshot', summarize(path)); // before any of it is sent
    const { snapshots } = client();
    const index = await doing(
      'Error restoring snapshot',
      snapshots.restore(readSnapshot(path), { force: flags.bool('force') }),
    );
    if (json) printJson({ Index: index });
    else print('Restored snapshot');
    return 0;
  },
};
