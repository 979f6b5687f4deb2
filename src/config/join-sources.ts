import { IsthmusError } from '../lib/errors.ts';

/** Where addresses to join come from, when `retry_join` names none itself. */
export type JoinSource =
  /** A program that prints addresses, separated by blanks or lines. */
  | { readonly kind: 'exec'; readonly program: string; readonly args: readonly string[] }
  /** A name that leads to several servers. Port 0 takes that of the record, or the usual one. */
  | { readonly kind: 'dns'; readonly name: string; readonly port: number; readonly srv: boolean };

const EXEC = 'exec=';
const PROVIDER = /(?:^|\s)provider=("?)([A-Za-z0-9_-]*)\1(?:\s|$)/;

/** What an entry of `retry_join` is; undefined for an address. Throws `invalid_argument` with what to do. */
export function parseJoinSource(text: string): JoinSource | undefined {
  const trimmed = text.trim();
  if (trimmed.startsWith(EXEC)) {
    const [program, ...args] = words(trimmed.slice(EXEC.length));
    if (program === undefined || program === '') throw refused('names no program after "exec="');
    return { kind: 'exec', program, args };
  }
  const provider = PROVIDER.exec(trimmed)?.[2];
  if (provider === undefined) return undefined;
  if (provider !== 'dns')
    throw refused(
      `names the provider ${JSON.stringify(provider)}, which is not built in: let a program find the servers, such ` +
        `as ` +
        `"exec=discover -q addrs ${trimmed.replaceAll('"', "'")}" with the discover command of ` +
        `hashicorp/go-discover, ` +
        'or give them a name: "provider=dns name=servers.example.com"',
    );
  return dnsSource(trimmed);
}

function dnsSource(text: string): JoinSource {
  const fields = new Map(
    words(text).map((word) => {
      const at = word.indexOf('=');
      return at < 0 ? ([word, ''] as const) : ([word.slice(0, at), word.slice(at + 1)] as const);
    }),
  );
  for (const key of fields.keys())
    if (!['provider', 'name', 'port', 'type'].includes(key))
      throw refused(`has the unknown field ${JSON.stringify(key)}; provider=dns takes name, port and type`);
  const name = fields.get('name') ?? '';
  if (!/^[A-Za-z0-9_.-]+$/.test(name)) throw refused('needs a name: "provider=dns name=servers.example.com"');
  const type = (fields.get('type') ?? 'a').toLowerCase();
  if (type !== 'a' && type !== 'srv') throw refused(`has the type ${JSON.stringify(type)}; it can be a or srv`);
  const port = Number(fields.get('port') ?? '0');
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw refused('has a port that is none');
  return { kind: 'dns', name, port, srv: type === 'srv' };
}

/** Separated by blanks; quotes keep blanks together. */
function words(text: string): readonly string[] {
  return [...text.matchAll(/(?:"([^"]*)"|'([^']*)'|[^\s"'])+/g)].map(([word]) =>
    word.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'),
  );
}

function refused(text: string): IsthmusError {
  return new IsthmusError('invalid_argument', text);
}
