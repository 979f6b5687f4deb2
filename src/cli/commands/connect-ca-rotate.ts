import { watch } from '../../client/watch.ts';
import type { RotationStatus } from '../../model/ca.ts';
import { type Command, type CommandContext, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { columns } from '../output.ts';

const BAR_WIDTH = 30;
/** A shorter one says nothing. */
const SHORTEST_BAR = 5;
/** As shells report an end by SIGINT. */
const INTERRUPTED = 130;

export const connectCaRotate: Command = {
  path: ['connect', 'ca', 'rotate'],
  synopsis: 'Move the mesh to a new root certificate',
  about:
    'Makes a new root with a new key in the primary. Every verifier gets it first, then certificates move to it, ' +
    'and no ' +
    'connection fails meanwhile. With -watch, shows the progress until the last certificate has moved.',
  flags: [
    { name: 'watch', kind: 'bool', about: 'Stay and show the progress. Interrupting stops the watching only.' },
    { name: 'status', kind: 'bool', about: 'Start nothing; show the rotation under way (with -watch, follow it).' },
    { name: 'force', kind: 'bool', about: 'Start even while another rotation is under way.' },
  ],
  api: 'server',
  async run(context) {
    const { client, flags, json, printJson, print } = context;
    const { ca } = client();
    const before = (await doing('Error querying the rotation', ca.rotation())).value;
    if (!flags.bool('status')) {
      if (!flags.bool('force') && (before.Phase === 'distributing' || before.Phase === 'moving'))
        throw new UsageError(
          `A rotation to the root ${before.NewRootID} is under way (${before.Phase}). Follow it with ` +
            '"isthmus connect ca rotate -status -watch", or start another beside it with -force.',
        );
      await doing('Error starting the rotation', ca.rotate({ force: flags.bool('force') }));
      if (!json) print('Rotation started.');
    }
    if (flags.bool('watch')) return follow(context, flags.bool('status') ? undefined : before);
    const status = (await doing('Error querying the rotation', ca.rotation())).value;
    if (json) printJson(status);
    else if (flags.bool('status')) print(describe(status));
    else print('Follow it with "isthmus connect ca rotate -status -watch".');
    return 0;
  },
};

/** True once every known certificate is under the new root. `before` is the rotation that was there first. */
function isDone(status: RotationStatus, before: RotationStatus | undefined): boolean {
  if (status.Phase === 'distributing' || status.Phase === 'moving') return false;
  return before === undefined || status.NewRootID !== before.NewRootID || status.StartedAt !== before.StartedAt;
}

async function follow(context: CommandContext, before: RotationStatus | undefined): Promise<number> {
  const { client, io, json } = context;
  const signal = io.stopSignal();
  let last: RotationStatus | undefined;
  let lastLine = '';
  const changes = watch((call) => client().ca.rotation(call), signal);
  const updates = { [Symbol.asyncIterator]: () => changes };
  await doing('Error watching the rotation', consume());
  if (io.outIsTerminal && lastLine !== '') io.out('\n');
  if (last === undefined || !isDone(last, before)) {
    context.complain('No longer watching; the rotation goes on. See it with "isthmus connect ca rotate -status".');
    return INTERRUPTED;
  }
  if (json) context.printJson(last);
  else if (last.NewRootID === '') context.print('No rotation is under way.');
  else context.print(summary(last));
  return 0;

  async function consume(): Promise<void> {
    for await (const status of updates) {
      last = status;
      if (!json) show(status);
      if (isDone(status, before)) return;
    }
  }

  function show(status: RotationStatus): void {
    // The last column stays free: a terminal that wraps there would start a new line with each change.
    const line = io.outIsTerminal ? progressLine(status, io.outWidth() - 1) : progressLine(status);
    if (line === lastLine) return;
    if (io.outIsTerminal) io.out(`\r${line}\x1b[K`);
    else io.out(`${line}\n`);
    lastLine = line;
  }
}

function summary(status: RotationStatus): string {
  const moved = `Done: ${status.LeavesMoved} certificates are under root ${status.NewRootID}.`;
  if (status.Phase === 'idle') return `${moved} The old root is gone.`;
  const [hold] = status.Holds;
  const why = hold === undefined ? 'it is removed shortly' : hold;
  return `${moved}\nThe old root is still trusted: ${why}. See "isthmus connect ca rotate -status".`;
}

/** @param width most characters; the bar shrinks first, then the notes are cut. */
function progressLine(status: RotationStatus, width = Number.POSITIVE_INFINITY): string {
  const share = Math.min(1, Math.max(0, status.Progress));
  const percent = String(Math.floor(share * 100)).padStart(3);
  const waiting = status.Datacenters.flatMap((datacenter) =>
    datacenter.Pending.length === 0 ? [] : [`${datacenter.Datacenter} waits for ${datacenter.Pending.length}`],
  );
  const [hold] = status.Holds;
  const notes = hold === undefined ? waiting : [...waiting, hold];
  const counts = `${status.LeavesMoved}/${status.LeavesTotal} certificates`;
  const rest = [`${percent}%`, status.Phase, counts, ...notes].join('  ');
  const room = Math.min(BAR_WIDTH, width - rest.length - 3);
  const filled = Math.round(share * room);
  const bar = room < SHORTEST_BAR ? '' : `[${'#'.repeat(filled)}${'-'.repeat(room - filled)}] `;
  const line = bar + rest;
  return line.length <= width ? line : `${line.slice(0, Math.max(0, width - 1))}…`;
}

function describe(status: RotationStatus): string {
  if (status.Phase === 'idle' && status.StartedAt === '') return 'No rotation is under way.';
  const head = columns([
    ['Phase:', status.Phase],
    ['Old root:', status.OldRootID],
    ['New root:', status.NewRootID],
    ['Started at:', status.StartedAt],
    ['Progress:', progressLine(status)],
    ...status.Holds.map((hold, index) => [index === 0 ? 'Held by:' : '', hold]),
  ]);
  const rows = status.Datacenters.map((datacenter) => [
    datacenter.Datacenter,
    datacenter.ActiveRootID,
    String(datacenter.Holders),
    String(datacenter.Pending.length),
    String(datacenter.LeavesByRoot[status.NewRootID] ?? 0),
    String(Object.values(datacenter.LeavesByRoot).reduce((sum, count) => sum + count, 0)),
  ]);
  if (rows.length === 0) return head;
  return `${head}\n\n${columns([['DC', 'Signs under', 'Verifiers', 'Pending', 'Moved', 'Certificates'], ...rows])}`;
}
