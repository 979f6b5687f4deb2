import { hasCode } from '../../lib/errors.ts';
import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { readServices } from './read-definitions.ts';

export const servicesDeregister: Command = {
  path: ['services', 'deregister'],
  synopsis: 'Deregister services from the agent',
  argsUsage: '[FILE…]',
  flags: [{ name: 'id', kind: 'text', placeholder: 'id', about: 'ID of the instance.' }],
  api: 'agent',
  async run({ args, client, flags, io, json, printJson, print }) {
    const id = flags.text('id');
    if (args.length === 0 && id === '') {
      throw new UsageError('Service deregistration requires at least one argument or flag.');
    }
    if (args.length > 0 && id !== '') throw new UsageError('Give either files or -id, not both.');
    const services = id === '' ? await readServices(args, io) : [{ ID: id }];
    const ids = services.map((service) => String(service.ID ?? ('Name' in service ? service.Name : '')));
    for (const instance of ids) {
      const failed = `Error deregistering service ${JSON.stringify(instance)}`;
      // The API takes any ID, as Consul's does; a person who mistyped one wants to know.
      await client()
        .agent.service(instance)
        .catch((error: unknown) => {
          if (!hasCode(error, 'not_found')) return; // a token that may not read it may remove it
          throw new UsageError(`${failed}: this agent has no service with the ID ${JSON.stringify(instance)}`);
        });
      await doing(failed, client().agent.deregisterService(instance));
      if (!json) print(`Deregistered service: ${instance}`);
    }
    if (json) printJson({ Deregistered: ids });
    return 0;
  },
};
