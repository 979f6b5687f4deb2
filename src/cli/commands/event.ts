import type { UserEvent } from '../../model/event.ts';
import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

export const event: Command = {
  path: ['event'],
  synopsis: 'Fire a custom event for the agents of a datacenter',
  argsUsage: '[PAYLOAD]',
  about:
    'Agents keep the event, and run the watches that wait for it. The filters are regular expressions: without them ' +
    'every agent gets it. Name, payload and filters have 512 bytes together.',
  flags: [
    { name: 'name', kind: 'text', placeholder: 'name', about: 'Name of the event.' },
    { name: 'node', kind: 'text', placeholder: 'regexp', about: 'Only for nodes whose name matches.' },
    { name: 'service', kind: 'text', placeholder: 'regexp', about: 'Only for nodes with such a service.' },
    {
      name: 'tag',
      kind: 'text',
      placeholder: 'regexp',
      about: 'Only where that service has such a tag. Goes with -service.',
    },
  ],
  api: 'server',
  async run({ args, flags, client, json, print, printJson }) {
    const name = flags.text('name');
    if (name === '') throw new UsageError('Event name must be specified');
    const [payload = ''] = args;
    const query = { node: flags.text('node'), service: flags.text('service'), tag: flags.text('tag') };
    const request = {
      method: 'PUT',
      path: `/v1/event/fire/${encodeURIComponent(name)}`,
      query,
      body: payload,
    } as const;
    const { value } = await doing('Error firing event', client().transport.json<UserEvent>(request));
    if (json) printJson(value);
    else print(`Event ID: ${value.ID}`);
    return 0;
  },
};
