import { parseDuration } from '../../lib/duration.ts';
import type { Command } from '../command.ts';
import { UsageError } from '../flags.ts';
import { saveForEver } from './snapshot-save.ts';

export const snapshotAgent: Command = {
  path: ['snapshot', 'agent'],
  synopsis: 'Save snapshots again and again, and keep the newest',
  about:
    'Writes files named by time into a directory until it is stopped, each read back before it counts; a failed one ' +
    'is ' +
    'tried again within a minute. It is "snapshot save -every" under the name and with the flags of Consul ' +
    'Enterprise. ' +
    'Private keys in them are sealed (docs/snapshots.md).',
  flags: [
    { name: 'interval', kind: 'duration', placeholder: 'duration', about: 'Between two snapshots. Default 1h.' },
    { name: 'retain', kind: 'number', placeholder: 'number', about: 'How many files are kept. Default 30.' },
    {
      name: 'local-path',
      kind: 'text',
      placeholder: 'directory',
      about: 'Directory for the files. Default: this one.',
    },
  ],
  api: 'server',
  async run(context) {
    const { flags } = context;
    const keep = flags.number('retain', 30);
    if (keep < 1) throw new UsageError('invalid value for flag -retain: must be at least 1');
    const every = parseDuration(flags.text('interval') || '1h');
    if (every <= 0) throw new UsageError('invalid value for flag -interval: must be above 0');
    return saveForEver(context, flags.text('local-path') || '.', every, keep);
  },
};
