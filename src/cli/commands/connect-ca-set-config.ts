import type { CaConfigurationInput } from '../../client/ca.ts';
import { parseJson } from '../../lib/hcl/json.ts';
import { toPlain } from '../../lib/hcl/node.ts';
import { attempting, type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { readInput } from './read-definitions.ts';

export const connectCaSetConfig: Command = {
  path: ['connect', 'ca', 'set-config'],
  synopsis: 'Change the configuration of the certificate authority',
  about:
    'Reads a JSON file with Provider and Config. A change of the provider or of its key starts a rotation; follow ' +
    'it with ' +
    '"isthmus connect ca rotate -status".',
  flags: [
    { name: 'config-file', kind: 'text', placeholder: 'file', about: 'The file; - is standard input.' },
    {
      name: 'force-without-cross-signing',
      kind: 'bool',
      about: 'Continue even if the old root cannot sign the new one: connections may fail until all have the new root.',
    },
  ],
  api: 'server',
  async run({ client, flags, io, json, printJson, print }) {
    const path = flags.text('config-file');
    if (path === '') throw new UsageError('The -config-file flag is required');
    const text = await doing('Error reading config file', readInput(path, io));
    const read = attempting('Error parsing config file', () => toPlain(parseJson(text, path)) as CaConfigurationInput);
    const configuration = flags.bool('force-without-cross-signing')
      ? { ...read, ForceWithoutCrossSigning: true }
      : read;
    await doing('Error setting CA configuration', client().ca.setConfiguration(configuration));
    if (json) printJson({ Updated: true });
    else print('Configuration updated!');
    return 0;
  },
};
