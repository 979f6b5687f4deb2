import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { sleep } from '../../lib/signals.ts';
import type { SnapshotMetadata } from '../../snapshot/format.ts';
import { type Command, type CommandContext, CommandFailure } from '../command.ts';
import { UsageError } from '../flags.ts';
import { removeOld, type SnapshotSummary, snapshotName, writeSnapshot } from '../snapshot-file.ts';

/** After a failure the next attempt is not later than this, milliseconds. */
const RETRY_MS = 60_000;

export const snapshotSave: Command = {
  path: ['snapshot', 'save'],
  synopsis: "Save everything that a datacenter's store holds to a file",
  argsUsage: 'FILE_OR_DIRECTORY',
  about:
    'Writes an archive of the store at one revision, readable by its owner only, and reads it back. Tokens in it ' +
    'are not ' +
    'encrypted. Private keys are: with connect.ca_key_encryption_file, or with the file snapshot.key in the ' +
    'data_dir of the ' +
    'server; a new machine needs that file to restore it. With -every it saves again and again until it is stopped: ' +
    'into ' +
    'files named by time in a directory, of which it keeps the newest.',
  flags: [
    { name: 'every', kind: 'duration', placeholder: 'duration', about: 'Save again and again, this often.' },
    { name: 'keep', kind: 'number', placeholder: 'number', about: 'With -every: how many files are kept. Default 24.' },
  ],
  api: 'server',
  async run(context) {
    const { args, flags, json, print, printJson } = context;
    const [path, ...rest] = args;
    if (path === undefined || rest.length > 0) throw new UsageError('Must specify one argument: the file');
    const keep = flags.number('keep', 24);
    if (keep < 1) throw new UsageError('invalid value for flag -keep: must be at least 1');
    if (flags.has('every')) return saveForEver(context, path, parseDuration(flags.text('every')), keep);
    if (flags.has('keep')) throw new UsageError('-keep goes with -every');
    const { metadata, fileSize } = await save(context, path);
    if (json) printJson({ File: path, Bytes: fileSize, ...metadata });
    else print(`Saved and verified snapshot to index ${metadata.Index}`);
    warnOfKey(context, metadata);
    return 0;
  },
};

/** Whoever loses the machine with the file that opens the snapshot has lost both. */
function warnOfKey({ complain }: CommandContext, { SealedWith, Node }: SnapshotMetadata): void {
  if (SealedWith === 'snapshot.key')
    complain(
      `The private keys in it open with the file snapshot.key in the data directory of ${Node} alone: keep a copy ` +
        `of that ` +
        'file elsewhere, not beside the snapshots.',
    );
}

async function save(
  { client, io }: CommandContext,
  path: string,
  name?: typeof snapshotName,
): Promise<SnapshotSummary> {
  const signal = name === undefined ? undefined : io.stopSignal();
  try {
    const { archive } = await client().snapshots.save(signal === undefined ? {} : { signal });
    return await writeSnapshot(path, archive, name);
  } catch (error) {
    throw new CommandFailure('Error saving snapshot', error);
  }
}

export async function saveForEver(
  context: CommandContext,
  folder: string,
  everyMs: number,
  keep: number,
): Promise<number> {
  const { io, print, complain } = context;
  const signal = io.stopSignal();
  let warned = false;
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new UsageError(`${folder} is not a directory`);
  // The clock's timers keep no process alive.
  const alive = setInterval(() => undefined, 2 ** 30);
  signal.addEventListener('abort', () => clearInterval(alive), { once: true });
  while (!signal.aborted) {
    let pause = everyMs;
    try {
      const { metadata, fileSize } = await save(context, folder, snapshotName);
      print(`Saved and verified ${snapshotName(metadata)} (${fileSize} bytes)`);
      if (!warned) warnOfKey(context, metadata);
      warned = true;
      for (const name of await removeOld(folder, keep)) print(`Removed ${join(folder, name)}`);
    } catch (error) {
      if (signal.aborted) break;
      complain(IsthmusError.from(error).message);
      pause = Math.min(everyMs, RETRY_MS);
    }
    await sleep(io.clock, pause, signal).catch(() => undefined); // only an abort rejects it
  }
  return 0;
}
