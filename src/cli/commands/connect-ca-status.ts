import { type Command, doing } from '../command.ts';
import { columns, remaining } from '../output.ts';

export const connectCaStatus: Command = {
  path: ['connect', 'ca', 'status'],
  synopsis: 'Show the condition of the certificate authority',
  about: 'Exit code 1 when it is not initialized, or degraded.',
  flags: [],
  api: 'server',
  async run({ client, json, printJson, print }) {
    const status = await doing('Error querying CA status', client().ca.status());
    if (json) {
      printJson(status);
    } else {
      const rows = [
        ['Datacenter:', status.Datacenter],
        ['Provider:', status.Provider],
        ['State:', status.State],
        ['Trust domain:', status.TrustDomain],
        ['Active root:', status.ActiveRootID],
        ['Root expires in:', remaining(status.RootExpiresIn)],
      ];
      if (status.RootRotatesIn !== undefined) {
        rows.push(['Root rotates in:', remaining(status.RootRotatesIn)]);
      } else {
        rows.push(['Intermediate expires in:', remaining(status.IntermediateExpiresIn)]);
        rows.push(['Intermediate renews in:', remaining(status.IntermediateRenewsIn)]);
      }
      if (status.Reason !== '') rows.push(['Reason:', status.Reason]);
      if (status.LastRenewalError !== '') rows.push(['Last renewal error:', status.LastRenewalError]);
      print(columns(rows));
    }
    return status.State === 'uninitialized' || status.State === 'degraded' ? 1 : 0;
  },
};
