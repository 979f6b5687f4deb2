import { loadConfig } from '../../config/load.ts';
import { systemConfigDeps } from '../../config/system-deps.ts';
import { type Command, type CommandContext, doing } from '../command.ts';
import { Flags, UsageError } from '../flags.ts';
import { AGENT_FLAGS, loadInput } from './agent-flags.ts';

const CONFIG_FLAGS = ['config-file', 'config-dir', 'config-format', 'data-dir'];
const KINDS = ['embedded', 'etcd'] as const;
/** Rows between two lines where the output is no terminal. */
const LINE_ROWS = 50_000;

export const storeMigrate: Command = {
  path: ['store', 'migrate'],
  synopsis: "Move a datacenter's state between the embedded store and etcd",
  about:
    "Reads the servers' configuration for where both are: data_dir for the embedded store, storage.etcd for etcd. " +
    'Stop every ' +
    'server of the datacenter first. Afterwards set storage.engine and start them again. Revisions are kept, so ' +
    'clients, ' +
    'agents and other datacenters continue where they were. The target gets everything or nothing, and is compared ' +
    'with the ' +
    'source at the end. The source is not changed.',
  flags: [
    { name: 'from', kind: 'text', placeholder: 'embedded|etcd', about: 'Where the state is.' },
    { name: 'to', kind: 'text', placeholder: 'embedded|etcd', about: 'Where it goes.' },
    { name: 'force', kind: 'bool', about: 'Replace what the target holds.' },
    ...AGENT_FLAGS.filter(({ name }) => CONFIG_FLAGS.includes(name)),
  ],
  api: 'none',
  async run(context) {
    const { flags, io, json, print, printJson, complain } = context;
    const [from, to] = [kind(flags, 'from'), kind(flags, 'to')];
    const given = flags.given.filter(([name]) => CONFIG_FLAGS.includes(name));
    const loaded = loadConfig(loadInput(new Flags(given)), systemConfigDeps);
    const { migrateStore } = await import('../../daemon/store/migrate-store.ts');
    const migration = await doing(
      'Error migrating the store',
      migrateStore({
        ...{ loaded, from, to },
        force: flags.bool('force'),
        signal: io.stopSignal(),
        log: (line) => complain(line.trimEnd()),
        onProgress: progress(context),
      }),
    );
    if (io.errIsTerminal) io.err('\n');
    const { rows, digest, epoch, fromRevision, toRevision } = migration;
    if (json) {
      printJson({
        ...{ From: from, To: to, Rows: rows, Digest: digest, Epoch: epoch },
        ...{ FromRevision: fromRevision, ToRevision: toRevision },
      });
    } else {
      print(`Moved ${rows} rows from ${from} to ${to}, verified: SHA-256 ${digest}`);
      print(`Revision ${fromRevision} goes on at ${toRevision}. Set storage.engine = "${to}" and start the servers.`);
    }
    return 0;
  },
};

function kind(flags: Flags, name: 'from' | 'to'): (typeof KINDS)[number] {
  const value = KINDS.find((one) => one === flags.text(name));
  if (value === undefined) throw new UsageError(`-${name} must be "embedded" or "etcd"`);
  return value;
}

/** One line that is written over on a terminal; else a line now and then. */
function progress({ io, complain }: CommandContext): (step: string, rows: number) => void {
  let shownStep = '';
  let line = 0;
  return (step, rows) => {
    if (io.errIsTerminal) {
      io.err(`\r${step} ${rows} rows  `);
      return;
    }
    if (step === shownStep && rows - line < LINE_ROWS) return;
    shownStep = step;
    line = rows;
    complain(`${step} rows: ${rows}`);
  };
}
