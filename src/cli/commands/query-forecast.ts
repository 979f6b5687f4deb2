import type { QueryOutcome } from '../../model/prepared-query.ts';
import { type Command, doing } from '../command.ts';
import { columns } from '../output.ts';

const NONE_LEFT = 1;

export const queryForecast: Command = {
  path: ['query', 'forecast'],
  synopsis: 'Show which datacenter would serve a query if one were lost now',
  argsUsage: 'NAME',
  about: 'Exit code 1 if no datacenter serves it now, or if none would after the loss of one.',
  flags: [],
  api: 'server',
  async run({ client, args, json, printJson, print, complain }) {
    const [name, ...more] = args;
    if (name === undefined || more.length > 0) {
      complain('Exactly one name or ID of a prepared query must be given');
      return NONE_LEFT;
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
    return forecast.Now === null || forecast.Lost.some(({ Outcome }) => Outcome === null) ? NONE_LEFT : 0;
  },
};

function outcome(found: QueryOutcome | null): readonly string[] {
  if (found === null) return ['nobody', '-', '0', '-'];
  return [found.Datacenter, found.Service, String(found.Instances), String(found.Failovers)];
}
