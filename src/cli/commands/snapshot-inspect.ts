import type { SnapshotMetadata } from '../../snapshot/format.ts';
import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { columns } from '../output.ts';
import { type SnapshotSummary, summarize } from '../snapshot-file.ts';

export const snapshotInspect: Command = {
  path: ['snapshot', 'inspect'],
  synopsis: 'Check a snapshot file and show what it holds',
  argsUsage: 'FILE',
  flags: [],
  api: 'none',
  async run({ args, json, printJson, print }) {
    const [path, ...rest] = args;
    if (path === undefined || rest.length > 0) throw new UsageError('Must specify one argument: the file');
    const summary = await doing('Error reading snapshot', summarize(path));
    if (json) printJson(toJson(summary));
    else print(describe(summary));
    return 0;
  },
};

function toJson({ metadata, size, fileSize, tables }: SnapshotSummary): unknown {
  const stats = tables.map(({ name, count, size: bytes }) => ({ Name: name, Count: count, Sum: bytes }));
  return { Meta: metadata, Stats: stats, TotalSize: size, FileSize: fileSize };
}

/** Consul's form; its lines stand first. There are no terms here: a history has an epoch instead. */
function describe({ metadata, size, tables }: SnapshotSummary): string {
  const head = columns([
    ['ID', metadata.ID],
    ['Size', String(size)],
    ['Index', String(metadata.Index)],
    ['Term', '0'],
    ['Version', String(metadata.Format)],
    ['Datacenter', metadata.Datacenter],
    ['Primary', metadata.PrimaryDatacenter],
    ['Trust domain', metadata.TrustDomain],
    ['Created', metadata.Created],
    ['Written by', `${metadata.Node}, version ${metadata.ProgramVersion}`],
    ['Private keys', keysOf(metadata)],
  ]);
  const row = (type: string, count: string, bytes: string): string =>
    ` ${type.padEnd(26)}  ${count.padEnd(9)}  ${bytes.padEnd(9)}  `;
  const lines = [
    row('Type', 'Count', 'Size'),
    row('----', '----', '----'),
    ...tables.map(({ name, count, size: bytes }) => row(name, String(count), byteSize(bytes))),
    row('----', '----', '----'),
    row('Total', '', byteSize(size)),
  ];
  return `${head}\n\n\n${lines.join('\n')}`;
}

function keysOf({ PrivateKeys, SealedWith, Node }: SnapshotMetadata): string {
  if (PrivateKeys === 'clear') return 'in the clear: whoever reads the file can sign certificates';
  if (PrivateKeys !== 'sealed') return PrivateKeys;
  return SealedWith === 'snapshot.key'
    ? `sealed with the file snapshot.key in the data directory of ${Node}`
    : "sealed with the server's connect.ca_key_encryption_file";
}

/** As Consul writes sizes: `557B`, `3.7KB`, `8KB`. */
function byteSize(bytes: number): string {
  const units: readonly (readonly [string, number])[] = [
    ['TB', 2 ** 40],
    ['GB', 2 ** 30],
    ['MB', 2 ** 20],
    ['KB', 2 ** 10],
  ];
  const [unit, size] = units.find(([, least]) => bytes >= least) ?? ['B', 1];
  return `${(bytes / size).toFixed(1).replace(/\.0$/, '')}${unit}`;
}
