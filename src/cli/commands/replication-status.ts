import { type Command, doing } from '../command.ts';
import { columns } from '../output.ts';

export const replicationStatus: Command = {
  path: ['replication', 'status'],
  synopsis: 'Show what is taken over from the primary, how far behind it is, and what was put aside',
  flags: [],
  api: 'server',
  async run({ client, json, printJson, print }) {
    const status = await doing('Error reading the state of replication', client().operator.replication());
    if (json) {
      printJson(status);
      return 0;
    }
    if (status.Primary) {
      print(`${status.Datacenter} is the primary: it does not replicate.`);
      return 0;
    }
    print(`${status.Datacenter} follows ${status.PrimaryDatacenter}.`);
    if (status.TokenProblem !== '') print(`Token: ${status.TokenProblem}.`);
    const rows = status.Kinds.map((kind) => [
      kind.Kind,
      kind.State,
      `${kind.AppliedRevision}/${kind.SourceRevision}`,
      `${kind.LagRevisions} revisions, ${kind.LagSeconds}s`,
      String(kind.Quarantined.length),
      kind.Reason || kind.LastError,
    ]);
    print(columns([['Kind', 'State', 'Revision', 'Lag', 'Quarantined', 'Reason'], ...rows]).replaceAll(/ +$/gm, ''));
    for (const kind of status.Kinds) {
      for (const entry of kind.Quarantined) {
        print(
          `Quarantined: ${kind.Kind} ${entry.Key} at revision ${entry.Revision} since ${entry.Since}: ${entry.Error}`,
        );
      }
    }
    return status.TokenProblem !== '' ||
      status.Kinds.some((kind) => kind.State === 'stalled' || kind.State === 'refused')
      ? 1
      : 0;
  },
};
