import type { IntentionInput } from '../../client/intentions.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { toPlain } from '../../lib/hcl/node.ts';
import { type Command, type CommandContext, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { DATACENTER_FLAGS, intentionText, twoNames } from './intention-common.ts';
import { parseInput, readInput } from './read-definitions.ts';

export const intentionCreate: Command = {
  path: ['intention', 'create'],
  synopsis: 'Create intentions',
  argsUsage: 'SRC DST | FILE…',
  about:
    'Allows or denies connections from SRC to DST; * is any service, and web@dc1 is web in datacenter dc1 only.\n\n' +
    'With -file, the arguments are JSON files, each with one intention as the API takes it.',
  flags: [
    { name: 'allow', kind: 'bool', about: 'Allow it. The default.' },
    { name: 'deny', kind: 'bool', about: 'Deny it.' },
    { name: 'replace', kind: 'bool', about: 'Replace an intention that exists.' },
    { name: 'file', kind: 'bool', about: 'Arguments are files.' },
    { name: 'meta', kind: 'list', placeholder: 'key=value', about: 'Metadata.' },
    { name: 'description', kind: 'text', placeholder: 'text', about: 'What it is for.' },
    ...DATACENTER_FLAGS,
  ],
  api: 'server',
  async run(context) {
    const { flags, client, json, print, printJson } = context;
    if (flags.bool('allow') && flags.bool('deny')) {
      throw new UsageError('Only one of -allow or -deny may be specified.');
    }
    const { intentions } = client();
    const created: IntentionInput[] = [];
    for (const intention of await inputs(context)) {
      const failed = `Error creating intention ${JSON.stringify(intentionText(intention))}`;
      const pair = {
        source: intention.SourceName,
        destination: intention.DestinationName,
        ...(intention.SourceDatacenter ? { sourceDatacenter: intention.SourceDatacenter } : {}),
        ...(intention.DestinationDatacenter ? { destinationDatacenter: intention.DestinationDatacenter } : {}),
      };
      if (flags.bool('replace')) {
        const old = await doing(failed, intentions.getExact(pair));
        if (old !== undefined) {
          const { ID: id = '' } = old;
          await doing(failed, id === '' ? intentions.upsert(pair, intention) : intentions.update(id, intention));
          created.push(intention);
          continue;
        }
      }
      await doing(failed, intentions.create(intention));
      created.push(intention);
      if (!json) print(`Created: ${intentionText(intention)}`);
    }
    if (json) printJson(created);
    return 0;
  },
};

async function inputs(context: CommandContext): Promise<IntentionInput[]> {
  const { flags, args } = context;
  if (flags.bool('file')) {
    if (args.length === 0) throw new UsageError('Error: Must specify at least one file');
    for (const name of ['allow', 'deny', 'meta', 'description', 'source-datacenter', 'destination-datacenter'])
      if (flags.has(name))
        throw new UsageError(`-${name} has no effect on an intention of a file: write it into the file.`);
    return Promise.all(args.map((path) => doing('Error', readIntention(path, context))));
  }
  const pair = twoNames(context, 'Error: Must specify two arguments: source and destination');
  return [
    {
      SourceName: pair.source,
      ...(pair.sourceDatacenter === undefined ? {} : { SourceDatacenter: pair.sourceDatacenter }),
      DestinationName: pair.destination,
      ...(pair.destinationDatacenter === undefined ? {} : { DestinationDatacenter: pair.destinationDatacenter }),
      SourceType: 'consul',
      Action: flags.bool('deny') ? 'deny' : 'allow',
      ...(flags.has('description') ? { Description: flags.text('description') } : {}),
      ...(flags.has('meta') ? { Meta: flags.pairs('meta') } : {}),
    },
  ];
}

async function readIntention(path: string, context: CommandContext): Promise<IntentionInput> {
  const value = toPlain(parseInput(await readInput(path, context.io), path)) as IntentionInput;
  if (typeof value.SourceName !== 'string' || typeof value.DestinationName !== 'string') {
    throw new IsthmusError('invalid_argument', `${path}: an intention needs SourceName and DestinationName`);
  }
  return value;
}
