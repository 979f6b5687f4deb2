import type { QueryOutcome } from '../../model/prepared-query.ts';
import { type Command, doing } from '../command.ts';
import { columns } from '../output.ts';

const NOBODY = 1;

export const queryForecast: Command = {
  path: ['query', 'forecast'],
  synopsis: 'Tell who would serve a prepared query if a datacenter were lost now',
  argsUsage: 'NAME',
  about: 'Exit code 1 when nobody serves it now, or when the loss of one datacenter would leave nobody.',
  flags: [],
  api: 'server',
  async run({ client, args, json, printJson, print, complain }) {
    const [name, ...more] = args;
    if (name === undefined || more.length > 0) {
      complain('Exactly one name or ID of a prepared query must be given');
      return NOBODY;
    }
    const forecast = await doing('Error asking for the forecast', client().queries.forecast(name));
    if (json) printJson(forecast);
    else {
      const rows = [
        ['Lost', 'Served from', 'Service', 'Instances', 'Failovers'],
        ['(nothing)', ...outcome(forecast.Now)],
        ...forecast.Lost.map(({ Datacenter, Outcome }) => [Datacenter, ...outcome(Outcome)]),
      ];
      print(columns(rows));
    }
    return forecast.Now === null || forecast.Lost.some(({ Outcome }) => Outcome === null) ? NOBODY : 0;
  },
};

function outcome(found: QueryOutcome | null): readonly string[] {
  if (found === null) return ['nobody', '-', '0', '-'];
  return [found.Datacenter, found.Service, String(found.Instances), String(found.Failovers)];
}
