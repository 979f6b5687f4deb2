import type { Definition } from '../../config/definition.ts';
import { type Command, doing } from '../command.ts';
import { type FlagSpec, type Flags, UsageError } from '../flags.ts';
import { readServices } from './read-definitions.ts';

/** Each describes the one service of the command line. */
const SERVICE_FLAGS: readonly FlagSpec[] = [
  { name: 'id', kind: 'text', placeholder: 'id', about: 'ID of the instance. Default: the name.' },
  { name: 'name', kind: 'text', placeholder: 'name', about: 'Name of the service.' },
  { name: 'address', kind: 'text', placeholder: 'address', about: 'Its address. Default: that of the node.' },
  { name: 'port', kind: 'number', placeholder: 'port', about: 'Its port.' },
  { name: 'tag', kind: 'list', placeholder: 'tag', about: 'A tag.' },
  { name: 'meta', kind: 'list', placeholder: 'key=value', about: 'Metadata.' },
  { name: 'tagged-address', kind: 'list', placeholder: 'tag=host:port', about: 'A further address.' },
  { name: 'kind', kind: 'text', placeholder: 'kind', about: 'connect-proxy for a proxy; else leave it out.' },
];

export const servicesRegister: Command = {
  path: ['services', 'register'],
  synopsis: 'Register services with the agent',
  argsUsage: '[FILE…]',
  about:
    'Registers the services of the files (HCL or JSON, `service { … }` as in a configuration), or the one that the ' +
    'flags describe. ' +
    'A file named - is standard input.',
  flags: SERVICE_FLAGS,
  api: 'agent',
  async run({ args, client, flags, io, json, printJson, print }) {
    if (args.length === 0 && !flags.has('name') && !flags.has('id')) {
      throw new UsageError('Service registration requires at least one argument or flag.');
    }
    const described = SERVICE_FLAGS.find(({ name }) => flags.has(name));
    if (args.length > 0 && described !== undefined)
      throw new UsageError(
        `-${described.name} has no effect on services of files. Give either files or flags, not both.`,
      );
    const services = args.length > 0 ? await readServices(args, io) : [fromFlags(flags)];
    for (const service of services) {
      const name = String(service.Name);
      await doing(`Error registering service ${JSON.stringify(name)}`, client().agent.registerService(service));
      if (!json) print(`Registered service: ${name}`);
    }
    if (json) printJson({ Registered: services.map((service) => service.Name) });
    return 0;
  },
};

function fromFlags(flags: Flags): Definition {
  return {
    ...(flags.has('id') ? { ID: flags.text('id') } : {}),
    Name: flags.text('name'),
    ...(flags.has('kind') ? { Kind: flags.text('kind') } : {}),
    ...(flags.has('address') ? { Address: flags.text('address') } : {}),
    ...(flags.has('port') ? { Port: flags.number('port', 0) } : {}),
    ...(flags.has('tag') ? { Tags: flags.list('tag') } : {}),
    ...(flags.has('meta') ? { Meta: flags.pairs('meta') } : {}),
    ...(flags.has('tagged-address') ? { TaggedAddresses: taggedAddresses(flags.pairs('tagged-address')) } : {}),
  };
}

function taggedAddresses(pairs: Readonly<Record<string, string>>): Record<string, { Address: string; Port: number }> {
  return Object.fromEntries(
    Object.entries(pairs).map(([tag, value]) => {
      const match = /^(.+?)(?::([0-9]+))?$/.exec(value);
      if (match === null) throw new UsageError(`invalid value ${JSON.stringify(value)} for flag -tagged-address`);
      return [tag, { Address: match[1] as string, Port: Number(match[2] ?? 0) }];
    }),
  );
}
