import { formatDuration, tryParseDuration } from '../../lib/duration.ts';
import {
  type ConfigNode,
  type Entry,
  type ObjectNode,
  type Position,
  positionError,
  toPlain,
} from '../../lib/hcl/node.ts';
import { type Tenancy, tenancyFault } from '../../model/tenancy.ts';
import type { Problems } from '../problems.ts';

/** Where a value is read: what errors name. */
export interface Place {
  /** File as given by the user. */
  readonly file: string;
  /** Key path as written in files, for example `ports.http`. */
  readonly path: string;
  /** Takes what is wrong inside a value that can be read on; `fail` ends the reading of the value. */
  readonly problems: Problems;
  /** Takes sentences about what is accepted, but probably not meant. */
  readonly warnings: string[];
}

/** A type of value: how it is read from a file and from a flag, merged, and shown. */
export interface Kind<T> {
  /** For the reference: "duration", "list of texts", ... */
  readonly label: string;
  /** True for flags that need no value. */
  readonly toggle?: boolean;
  /** Reads all values that one file gives for the key (more than one only for repeated HCL blocks). */
  read(nodes: readonly ConfigNode[], place: Place): T;
  /** Reads the values of a flag, in the order typed; throws a plain text. Absent where no flag makes sense. */
  parse?(values: readonly string[]): T;
  /** What an earlier source and a later one give together; absent means that the later one counts. */
  merge?(earlier: T, later: T): T;
  /** The default as the reference shows it. */
  show(value: T): string;
}

export function fail(place: Place, at: Position, text: string): never {
  throw positionError(place.file, at, `"${place.path}" ${text}`);
}

function describe(node: ConfigNode): string {
  if (node.kind === 'list') return 'a list';
  if (node.kind === 'object') return 'a block';
  return typeof node.value === 'string' ? `the text ${JSON.stringify(node.value)}` : String(node.value);
}

/** HCL can't distinguish a block from a list with one block, and a scalar may stand in a list of one. */
export function unwrap(nodes: readonly ConfigNode[]): ConfigNode {
  const last = nodes.at(-1) as ConfigNode;
  return last.kind === 'list' && last.items.length === 1 ? (last.items[0] as ConfigNode) : last;
}

/** A kind whose values are single words in a file and on the command line. */
function scalar<T>(
  label: string,
  expected: string,
  fromNode: (value: unknown) => T | undefined,
  fromFlag: (value: string) => T | undefined,
  show: (value: T) => string,
): Kind<T> {
  return {
    label,
    read(nodes, place) {
      const node = unwrap(nodes);
      const [first, second] = nodes;
      // Of a value that a file gives twice the last counts, as in every reader of HCL; that is hardly what was meant.
      if (first !== undefined && second !== undefined)
        place.warnings.push(
          `${place.file}:${second.at.line}: "${place.path}" was given in line ${first.at.line} already; the last ` +
            `one counts`,
        );
      const value = node.kind === 'scalar' ? fromNode(node.value) : undefined;
      return value === undefined ? fail(place, node.at, `must be ${expected}, not ${describe(node)}`) : value;
    },
    parse(values) {
      const text = values.at(-1) ?? '';
      const value = fromFlag(text);
      if (value === undefined) throw new TypeError(`must be ${expected}, not ${JSON.stringify(text)}`);
      return value;
    },
    show,
  };
}

export const text: Kind<string> = scalar(
  'text',
  'a text',
  (value) => (typeof value === 'string' ? value : undefined),
  (value) => value,
  (value) => (value === '' ? '' : JSON.stringify(value)),
);

/** The name of a namespace, partition or the like: there is one of each here. */
export function tenancy(what: Tenancy): Kind<string> {
  return {
    ...text,
    read(nodes, place) {
      const value = text.read(nodes, place);
      const fault = tenancyFault(what, value);
      return fault === undefined ? value : fail(place, unwrap(nodes).at, `is ${JSON.stringify(value)}: ${fault}`);
    },
    parse(values) {
      const value = values.at(-1) ?? '';
      const fault = tenancyFault(what, value);
      if (fault !== undefined) throw new TypeError(fault);
      return value;
    },
  };
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  '1': true,
  t: true,
  true: true,
  '0': false,
  f: false,
  false: false,
};

export const toggle: Kind<boolean> = {
  ...scalar(
    'boolean',
    'true or false',
    (value) => (typeof value === 'boolean' ? value : undefined),
    (value) => BOOLEANS[value.toLowerCase()],
    String,
  ),
  toggle: true,
};

/** Whole numbers; `min` and `max` included. */
export function integer(min = 0, max = Number.MAX_SAFE_INTEGER): Kind<number> {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  const check = (value: unknown): number | undefined =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max ? (value as number) : undefined;
  return scalar(
    'number',
    `a whole number ${range}`,
    check,
    (value) => (/^[+-]?[0-9]+$/.test(value) ? check(Number(value)) : undefined),
    String,
  );
}

/** -1 turns the listener off, 0 lets the system choose. */
export const port: Kind<number> = { ...integer(-1, 65_535), label: 'port' };

/** Milliseconds inside, a Go duration outside. */
export const duration: Kind<number> = scalar(
  'duration',
  'a duration such as "30s" or "1h15m"',
  (value) => (typeof value === 'string' ? tryParseDuration(value) : undefined),
  tryParseDuration,
  (value) => JSON.stringify(formatDuration(value)),
);

export function choice<const T extends string>(options: readonly T[]): Kind<T> {
  const find = (value: unknown): T | undefined =>
    typeof value === 'string' ? options.find((option) => option === value.toLowerCase()) : undefined;
  const list = options.map((option) => JSON.stringify(option)).join(', ');
  return scalar(`one of ${list}`, `one of ${list}`, find, find, (value) => JSON.stringify(value));
}

export const texts: Kind<readonly string[]> = {
  label: 'list of texts',
  read: (nodes, place) =>
    nodes.flatMap((node) => {
      const items = node.kind === 'list' ? node.items : [node];
      return items.map((item) =>
        item.kind === 'scalar' && typeof item.value === 'string'
          ? item.value
          : fail(place, item.at, `must be a list of texts; it holds ${describe(item)}`),
      );
    }),
  parse: (values) => values,
  merge: (earlier, later) => [...earlier, ...later],
  show: (value) => (value.length === 0 ? '' : JSON.stringify(value)),
};

/** The blocks among `nodes`, lists of blocks opened. */
export function blocks(nodes: readonly ConfigNode[], place: Place): ObjectNode[] {
  return nodes.flatMap((node) =>
    (node.kind === 'list' ? node.items : [node]).map((item) =>
      item.kind === 'object' ? item : fail(place, item.at, `must be a block, not ${describe(item)}`),
    ),
  );
}

/**
 * The one block of a field that takes one. A second block would be merged or lost without a word: it is refused.
 */
export function oneBlock(nodes: readonly ConfigNode[], place: Place): ObjectNode {
  const [first, second] = blocks(nodes, place);
  if (second !== undefined) {
    const name = JSON.stringify(place.path.split('.').at(-1));
    const line = (first as ObjectNode).at.line;
    fail(place, second.at, `takes one block; the first is in line ${line}. Put everything into one ${name} block`);
  }
  return first ?? { kind: 'object', entries: [], at: (nodes.at(-1) as ConfigNode).at };
}

/** Entries of a map, whose blocks may be repeated as long as no name is (`tagged_addresses "lan" { … }`). */
export function mapEntries(nodes: readonly ConfigNode[], place: Place): readonly Entry[] {
  const lines = new Map<string, number>();
  const entries = blocks(nodes, place).flatMap((block) => block.entries);
  for (const { key, at } of entries) {
    const before = lines.get(key);
    if (before !== undefined) fail(place, at, `has ${JSON.stringify(key)} twice; the first is in line ${before}`);
    lines.set(key, at.line);
  }
  return entries;
}

export const textMap: Kind<Readonly<Record<string, string>>> = {
  label: 'map of texts',
  read(nodes, place) {
    const pairs = mapEntries(nodes, place).map((entry) => [
      entry.key,
      text.read([entry.value], { ...place, path: `${place.path}.${entry.key}` }),
    ]);
    return Object.fromEntries(pairs);
  },
  parse: (values) =>
    Object.fromEntries(
      values.map((value) => {
        const colon = value.indexOf(':');
        return colon === -1 ? [value, ''] : [value.slice(0, colon), value.slice(colon + 1)];
      }),
    ),
  merge: (earlier, later) => ({ ...earlier, ...later }),
  show: (value) => (Object.keys(value).length === 0 ? '' : JSON.stringify(value)),
};

/** A block whose inside someone else understands (a CA provider, a proxy). */
export const opaque: Kind<Readonly<Record<string, unknown>>> = {
  label: 'block',
  read: (nodes, place) => ({ ...(toPlain(oneBlock(nodes, place)) as Record<string, unknown>) }),
  merge: (earlier, later) => ({ ...earlier, ...later }),
  show: (value) => (Object.keys(value).length === 0 ? '' : JSON.stringify(value)),
};

/** For keys without effect: any value is accepted. */
export const anything: Kind<unknown> = {
  label: '',
  read: (nodes) => toPlain(nodes.at(-1) as ConfigNode),
  parse: (values) => BOOLEANS[(values.at(-1) ?? '').toLowerCase()] ?? values.at(-1),
  show: () => '',
};
