import { type Command, doing } from '../command.ts';
import { columns } from '../output.ts';
import { destinationText, sourceText } from './intention-common.ts';

export const intentionList: Command = {
  path: ['intention', 'list'],
  synopsis: 'List all intentions',
  flags: [{ name: 'filter', kind: 'text', placeholder: 'expression', about: 'Only intentions that it selects.' }],
  api: 'server',
  async run({ client, flags, json, printJson, print, complain }) {
    const call = flags.has('filter') ? { filter: flags.text('filter') } : {};
    const { value } = await doing('Failed to retrieve the intentions list', client().intentions.list(call));
    if (json) {
      printJson(value);
      return 0;
    }
    if (value.length === 0) {
      complain('There are no intentions.');
      return 0;
    }
    const rows = value.map((intention) => [
      intention.ID ?? '',
      sourceText(intention),
      intention.Action ?? '',
      destinationText(intention),
      String(intention.Precedence),
    ]);
    print(columns([['ID', 'Source', 'Action', 'Destination', 'Precedence'], ...rows]));
    return 0;
  },
};
