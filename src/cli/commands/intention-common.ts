import type { IntentionsApi } from '../../client/intentions.ts';
import type { Intention } from '../../model/intention.ts';
import type { IntentionPair } from '../../model/requests.ts';
import { type CommandContext, doing } from '../command.ts';
import { type FlagSpec, type Flags, UsageError } from '../flags.ts';

/** Limits one side of an intention to a datacenter; a name may also be written `web@dc1`. */
export const DATACENTER_FLAGS: readonly FlagSpec[] = [
  { name: 'source-datacenter', kind: 'text', placeholder: 'name', about: 'Only sources in this datacenter. Else any.' },
  {
    name: 'destination-datacenter',
    kind: 'text',
    placeholder: 'name',
    about: 'Only destinations in this datacenter. Else any.',
  },
];

/** `web` or `web@dc1`; `default/web` is Consul's way to name the namespace. */
function splitName(text: string): { name: string; datacenter?: string } {
  const at = text.lastIndexOf('@');
  const given = at < 1 ? text : text.slice(0, at);
  const slash = given.indexOf('/');
  const name = given.slice(slash + 1);
  if (slash >= 0 && given.slice(0, slash) !== 'default')
    throw new UsageError(
      `${JSON.stringify(text)} would be ${JSON.stringify(name)} in the namespace ` +
        `${JSON.stringify(given.slice(0, slash))}, ` +
        `and there is only the namespace "default". A service of one datacenter is written ` +
        `${JSON.stringify(`${name}@dc2`)}.`,
    );
  return at < 1 ? { name } : { name, datacenter: text.slice(at + 1) };
}

/** The pair that two arguments and the datacenter flags name. */
export function pairOf(source: string, destination: string, flags: Flags): IntentionPair {
  const from = splitName(source);
  const to = splitName(destination);
  const sourceDatacenter = flags.text('source-datacenter') || from.datacenter;
  const destinationDatacenter = flags.text('destination-datacenter') || to.datacenter;
  return {
    source: from.name,
    destination: to.name,
    ...(sourceDatacenter === undefined ? {} : { sourceDatacenter }),
    ...(destinationDatacenter === undefined ? {} : { destinationDatacenter }),
  };
}

/** Exactly two arguments, as a pair. */
export function twoNames(context: CommandContext, text: string): IntentionPair {
  const [source, destination] = context.args;
  if (source === undefined || destination === undefined || context.args.length > 2) throw new UsageError(text);
  return pairOf(source, destination, context.flags);
}

export function sideText(name: string, datacenter: string | undefined): string {
  return datacenter === undefined || datacenter === '' ? name : `${name}@${datacenter}`;
}

export function sourceText(intention: Pick<Intention, 'SourceName' | 'SourceDatacenter'>): string {
  return sideText(intention.SourceName, intention.SourceDatacenter);
}

export function destinationText(intention: Pick<Intention, 'DestinationName' | 'DestinationDatacenter'>): string {
  return sideText(intention.DestinationName, intention.DestinationDatacenter);
}

/** `web => db (allow)`, as Consul writes an intention. */
export function intentionText(
  intention: Pick<
    Intention,
    'SourceName' | 'SourceDatacenter' | 'DestinationName' | 'DestinationDatacenter' | 'Action' | 'Permissions'
  >,
): string {
  const permissions = intention.Permissions?.length ?? 0;
  const what = permissions > 0 ? `${permissions} permissions` : (intention.Action ?? '');
  return `${sourceText(intention)} => ${destinationText(intention)} (${what})`;
}

/** The intention that one argument (an ID) or two (source and destination) name. */
export async function findIntention(context: CommandContext, api: IntentionsApi): Promise<Intention> {
  const { args } = context;
  const [first, second] = args;
  if (first === undefined || args.length > 2) {
    throw new UsageError(
      'Error: command requires exactly 1 or 2 arguments: an intention ID, or source and destination',
    );
  }
  if (second === undefined) {
    const found = await doing('Error', api.get(first));
    if (found === undefined) throw new UsageError(`Intention not found with ID ${JSON.stringify(first)}`);
    return found;
  }
  const found = await doing('Error', api.getExact(pairOf(first, second, context.flags)));
  if (found === undefined) {
    throw new UsageError(
      `Intention not found with source ${JSON.stringify(first)} and destination ${JSON.stringify(second)}`,
    );
  }
  return found;
}
