import type { Intention } from '../../model/intention.ts';
import type { Command } from '../command.ts';
import { columns, rfc850 } from '../output.ts';
import { DATACENTER_FLAGS, destinationText, findIntention, sourceText } from './intention-common.ts';

export const intentionGet: Command = {
  path: ['intention', 'get'],
  synopsis: 'Show an intention',
  argsUsage: 'SRC DST | ID',
  flags: DATACENTER_FLAGS,
  api: 'server',
  async run(context) {
    const intention = await findIntention(context, context.client().intentions);
    if (context.json) context.printJson(intention);
    else context.print(columns(describe(intention)));
    return 0;
  },
};

function describe(intention: Intention): string[][] {
  const rows = [
    ['Source:', sourceText(intention)],
    ['Destination:', destinationText(intention)],
  ];
  if (intention.Action) rows.push(['Action:', intention.Action]);
  for (const permission of intention.Permissions ?? []) rows.push(['Permission:', JSON.stringify(permission)]);
  if (intention.ID) rows.push(['ID:', intention.ID]);
  if (intention.Description) rows.push(['Description:', intention.Description]);
  for (const [key, value] of Object.entries(intention.Meta ?? {}).sort()) rows.push([`Meta[${key}]:`, value]);
  if (intention.CreatedAt) rows.push(['Created At:', rfc850(intention.CreatedAt)]);
  return rows;
}
