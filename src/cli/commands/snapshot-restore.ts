import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { readSnapshot, summarize } from '../snapshot-file.ts';

export const snapshotRestore: Command = {
  path: ['snapshot', 'restore'],
  synopsis: "Replace everything that a datacenter's store holds by a snapshot",
  argsUsage: 'FILE',
  about:
    'All of the snapshot takes the place of all that is there, in one step: whatever was written since is lost. A ' +
    'snapshot that is damaged, of another format, or of another datacenter or trust domain is refused and changes ' +
    'nothing. Secondaries that followed a restored primary may ask to be told that this was on purpose: see "isthmus ' +
    'replication status".',
  flags: [{ name: 'force', kind: 'bool', about: 'Also a snapshot of another datacenter or trust domain.' }],
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
