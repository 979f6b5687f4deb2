import { toPlain } from '../../lib/hcl/node.ts';
import { entryWarnings } from '../../model/entries-without-effect.ts';
import { type Command, CommandFailure, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { parseInput, readInput } from './read-definitions.ts';

export const configWrite: Command = {
  path: ['config', 'write'],
  synopsis: 'Create or change a configuration entry',
  argsUsage: 'FILE',
  about: 'Reads one entry in HCL or JSON from the file (- is standard input) and writes it.',
  flags: [
    { name: 'cas', kind: 'bool', about: 'Write only when -modify-index is the index of the entry.' },
    {
      name: 'modify-index',
      kind: 'number',
      placeholder: 'index',
      about: 'For -cas; 0 means that there must be no such entry.',
    },
  ],
  api: 'server',
  async run({ args, client, flags, io, json, printJson, print }) {
    const [path] = args;
    if (path === undefined || args.length > 1) {
      throw new UsageError('Must provide exactly one positional argument to specify the config entry to write');
    }
    const text = await doing('Failed to load data', readInput(path, io));
    const entry = decode(text, path);
    const name = `${field(entry, 'Kind')}/${field(entry, 'Name')}`;
    const cas = flags.bool('cas') ? flags.number('modify-index', 0) : undefined;
    const written = await doing(`Error writing config entry ${name}`, client().config.write(entry, cas));
    if (!written) throw new UsageError(`Error writing config entry ${name}: the modify index is no longer current`);
    for (const warning of entryWarnings(entry)) io.err(`Warning: ${warning}\n`);
    if (json) printJson({ Written: name });
    else print(`Config entry written: ${name}`);
    return 0;
  },
};

function decode(text: string, path: string): Readonly<Record<string, unknown>> {
  try {
    return toPlain(parseInput(text, path)) as Record<string, unknown>;
  } catch (error) {
    throw new CommandFailure('Failed to decode config entry input', error);
  }
}

/** Names of fields are taken in any case. */
function field(entry: Readonly<Record<string, unknown>>, name: string): string {
  const key = Object.keys(entry).find((candidate) => candidate.toLowerCase() === name.toLowerCase());
  return key === undefined ? '' : String(entry[key]);
}
