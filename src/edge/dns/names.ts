import { tryDatacenter, tryName } from '../../model/names.ts';

/** What a name below our domain asks for. Names are in lower case. */
export type Lookup =
  | { readonly kind: 'service' | 'connect'; readonly name: string; readonly tag: string; readonly datacenter: string }
  | { readonly kind: 'node' | 'query'; readonly name: string; readonly datacenter: string }
  | { readonly kind: 'addr'; readonly address: string }
  /** The domain itself. */
  | { readonly kind: 'apex' }
  | { readonly kind: 'reverse'; readonly address: string }
  | { readonly kind: 'invalid' };

export interface ParsedName {
  readonly lookup: Lookup;
  /** The domain that the name is in, '' for reverse look-ups. */
  readonly domain: string;
}

/** What tags and names of queries, which are any text, never hold here: escapes, wildcards, unreadable characters. */
const UNREADABLE = /[%*\uFFFD]|\p{C}/u;

const KINDS = new Set(['service', 'connect', 'node', 'query', 'addr']);

/**
 * @param name and `domains` in lower case.
 * @param type of the question: SRV questions may leave out the word `service`.
 * @returns undefined for a name that others know.
 */
export function parseName(name: string, type: string, domains: readonly string[]): ParsedName | undefined {
  const address = name.endsWith('.arpa') ? reverseAddress(name) : undefined;
  if (address !== undefined) return { lookup: { kind: 'reverse', address }, domain: '' };
  for (const domain of domains) {
    if (name === domain) return { lookup: { kind: 'apex' }, domain };
    if (name.endsWith(`.${domain}`)) return { lookup: lookupOf(name.slice(0, -domain.length - 1), type), domain };
  }
  return undefined;
}

function lookupOf(name: string, type: string): Lookup {
  const labels = name.split('.');
  const at = labels.findLastIndex((label) => KINDS.has(label) || (type === 'SRV' && label.startsWith('_')));
  const label = labels[at] ?? '';
  const [kind, before] = KINDS.has(label) ? [label, labels.slice(0, at)] : ['service', labels.slice(0, at + 1)];
  if (before.length === 0 || before.includes('')) return INVALID;
  if (kind === 'addr') {
    const address = before.length === 1 ? hexAddress(before[0] as string) : undefined;
    return address === undefined ? INVALID : { kind, address };
  }
  if (labels.length - at > 2) return INVALID;
  const datacenter = labels[at + 1] ?? '';
  if (at + 1 < labels.length && tryDatacenter(datacenter) === undefined) return INVALID;
  if (kind === 'service' || kind === 'connect') return instancesOf(kind, before, datacenter);
  const whole = before.join('.');
  if (kind === 'query') return UNREADABLE.test(whole) ? INVALID : { kind, name: whole, datacenter };
  return isName(whole) ? { kind: 'node', name: whole, datacenter } : INVALID;
}

/** `name`, `tag.name` (a tag may hold dots) or RFC 2782's `_name._tag`, where `_tcp` is no tag. */
function instancesOf(kind: 'service' | 'connect', labels: readonly string[], datacenter: string): Lookup {
  const [first = '', second = ''] = labels;
  const underlined = kind === 'service' && labels.length === 2 && first.startsWith('_') && second.startsWith('_');
  const name = underlined ? first.slice(1) : (labels.at(-1) as string);
  const tags = underlined ? second.slice(1) : labels.slice(0, -1).join('.');
  if (!isName(name) || UNREADABLE.test(tags)) return INVALID;
  return { kind, name, tag: kind === 'connect' || (underlined && tags === 'tcp') ? '' : tags, datacenter };
}

/** Of a node or a service, as the one grammar of names has it. */
function isName(name: string): boolean {
  return tryName(name) !== undefined && !UNREADABLE.test(name);
}

const INVALID: Lookup = { kind: 'invalid' };

/** An address as the label of `<hex>.addr` holds it: 8 or 32 digits. */
function hexAddress(hex: string): string | undefined {
  if (!/^(?:[0-9a-f]{8}|[0-9a-f]{32})$/.test(hex)) return undefined;
  const bytes = Buffer.from(hex, 'hex');
  return bytes.length === 4 ? [...bytes].join('.') : v6Text(bytes);
}

/** The address that a name below in-addr.arpa or ip6.arpa stands for. */
function reverseAddress(name: string): string | undefined {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  if (v4 !== null) return v4.slice(1).reverse().join('.');
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1];
  if (v6 === undefined) return undefined;
  return v6Text(Buffer.from(v6.replaceAll('.', '').split('').reverse().join(''), 'hex'));
}

/** The shortest form, as RFC 5952 wants it. */
export function v6Text(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(at * 2).toString(16));
  const runs = [...groups.join(':').matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)];
  const longest = runs.reduce<RegExpMatchArray | undefined>(
    (best, run) => (run[0].replace(/^:/, '').length > (best?.[0].replace(/^:/, '').length ?? 0) ? run : best),
    undefined,
  );
  const text = groups.join(':');
  if (longest?.index === undefined) return text;
  const head = text.slice(0, longest.index);
  const tail = text.slice(longest.index + longest[0].length).replace(/^:/, '');
  return `${head}::${tail}`;
}
