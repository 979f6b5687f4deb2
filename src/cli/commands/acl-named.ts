import type { AclApi, NamedApi } from '../../client/acl.ts';
import { type Command, type CommandContext, doing } from '../command.ts';
import { type FlagSpec, type Flags, UsageError } from '../flags.ts';
import { META, show, wholeId } from './acl-common.ts';

/** What policies and roles share: they are found by ID or name, shown, listed and deleted in the same way. */

export const ID: FlagSpec = { name: 'id', kind: 'text', placeholder: 'id', about: 'ID, or the start of it.' };
export const NAME: FlagSpec = { name: 'name', kind: 'text', placeholder: 'name', about: 'Its name.' };

interface Named<Whole, Listed> {
  readonly kind: 'policy' | 'role';
  readonly plural: string;
  api(acl: AclApi): Pick<NamedApi<Whole, Listed, never>, 'list' | 'get' | 'getByName' | 'delete'>;
  /** As `read` prints it. */
  text(item: Whole, meta: boolean): string;
  /** As `list` prints it. */
  line(item: Listed): string;
}

export interface NamedCommands<Whole> {
  /** The one that -id or -name means. */
  find(flags: Flags, acl: AclApi): Promise<Whole>;
  show(context: CommandContext, item: Whole): void;
  readonly read: Command;
  readonly remove: Command;
  readonly list: Command;
}

export function namedCommands<Whole extends { readonly ID: string }, Listed extends { readonly ID: string }>(
  named: Named<Whole, Listed>,
): NamedCommands<Whole> {
  const { kind, plural, api, text, line } = named;
  const title = `${kind[0]?.toUpperCase()}${kind.slice(1)}`;
  const idOf = (start: string, acl: AclApi): Promise<string> =>
    wholeId(
      start,
      () => api(acl).list(),
      (item) => item.ID,
    );
  const find = async (flags: Flags, acl: AclApi): Promise<Whole> => {
    const id = flags.text('id');
    if (id !== '') return api(acl).get(await idOf(id, acl));
    const name = flags.text('name');
    if (name === '') throw new UsageError('Must specify either the -id or -name parameters');
    return api(acl).getByName(name);
  };
  return {
    find,
    show: (context, item) => show(context, item, text),
    read: {
      path: ['acl', kind, 'read'],
      synopsis: `Show a ${kind}`,
      flags: [ID, NAME, META],
      api: 'server',
      async run(context) {
        show(context, await doing(`Error reading ${kind}`, find(context.flags, context.client().acl)), text);
        return 0;
      },
    },
    remove: {
      path: ['acl', kind, 'delete'],
      synopsis: `Delete a ${kind}`,
      flags: [ID, NAME],
      api: 'server',
      async run({ client, flags, json, print, printJson }) {
        const { acl } = client();
        const id = flags.has('id')
          ? await idOf(flags.text('id'), acl)
          : (await doing(`Error reading ${kind}`, find(flags, acl))).ID;
        await doing(`Error deleting ${kind} ${JSON.stringify(id)}`, api(acl).delete(id));
        if (json) printJson({ Deleted: id });
        else print(`${title} ${JSON.stringify(id)} deleted successfully`);
        return 0;
      },
    },
    list: {
      path: ['acl', kind, 'list'],
      synopsis: `List all ${plural}`,
      flags: [],
      api: 'server',
      async run({ client, json, print, printJson }) {
        const items = await doing(`Failed to retrieve the ${kind} list`, api(client().acl).list());
        if (json) printJson(items);
        else print(items.map(line).join('\n'));
        return 0;
      },
    },
  };
}
