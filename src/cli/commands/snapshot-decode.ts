import { createReadStream } from 'node:fs';
import { openArchive } from '../../snapshot/read.ts';
import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

export const snapshotDecode: Command = {
  path: ['snapshot', 'decode'],
  synopsis: 'Print everything that a snapshot file holds',
  argsUsage: 'FILE',
  about:
    'One line of JSON for each row: its table, its key and its content. Secrets of tokens are among them; private ' +
    'keys ' +
    'are as the file has them, sealed unless an operator chose otherwise.',
  flags: [],
  api: 'none',
  async run({ args, print }) {
    const [path, ...rest] = args;
    if (path === undefined || rest.length > 0) throw new UsageError('Must specify one argument: the file');
    await doing('Error reading snapshot', decode(path, print));
    return 0;
  },
};

async function decode(path: string, print: (line: string) => void): Promise<void> {
  const { pages } = await openArchive(createReadStream(path));
  for await (const rows of pages)
    for (const { key, value } of rows) {
      const slash = key.indexOf('/');
      print(JSON.stringify({ Type: key.slice(0, slash), Key: key.slice(slash + 1), Data: contentOf(value) }));
    }
}

/** Tables hold JSON; what is none is shown as it is. */
function contentOf(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}
