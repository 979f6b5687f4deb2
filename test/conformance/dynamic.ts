/**
 * Values that differ from run to run: IDs, addresses, times, certificates, indexes. They are compared by shape, and by
 * their relations: what was one value in the recording must be one value now, and what were two must be two.
 */

interface Kind {
  readonly name: string;
  readonly pattern: RegExp;
  /** False: only the shape counts. */
  readonly related: boolean;
}

/** The order matters: a longer thing goes before what it may contain. */
const KINDS: readonly Kind[] = [
  { name: 'certificate', pattern: /-----BEGIN CERTIFICATE-----\n[^-]+\n-----END CERTIFICATE-----\n?/, related: true },
  {
    name: 'key',
    pattern: /-----BEGIN EC PRIVATE KEY-----\n[^-]+\n-----END EC PRIVATE KEY-----\n?|<EC PRIVATE KEY PEM>/,
    related: false,
  },
  { name: 'uuid', pattern: /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/, related: true },
  { name: 'fingerprint', pattern: /(?:[0-9a-f]{2}:){19,31}[0-9a-f]{2}/, related: true },
  { name: 'exact time', pattern: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z/, related: true },
  { name: 'time', pattern: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/, related: false },
  { name: 'hash', pattern: /[A-Za-z0-9+/]{43}=/, related: true },
  { name: 'port', pattern: /(?<=127\.0\.0\.1:)\d{2,5}\b/, related: true },
];

const ANY = new RegExp(KINDS.map((kind) => `(${kind.pattern.source})`).join('|'), 'g');

interface Part {
  /** Undefined for plain text. */
  readonly kind: Kind | undefined;
  readonly text: string;
}

/** IDs that stand for nothing in the recordings: written by hand, so they stay as they are. */
const LITERAL = new Set(['11111111-2222-3333-4444-555555555555', '1']);

export function split(text: string): readonly Part[] {
  const parts: Part[] = [];
  let end = 0;
  for (const match of text.matchAll(ANY)) {
    if (LITERAL.has(match[0])) continue;
    if (match.index > end) parts.push({ kind: undefined, text: text.slice(end, match.index) });
    parts.push({ kind: KINDS[match.slice(1).findIndex((group) => group !== undefined)], text: match[0] });
    end = match.index + match[0].length;
  }
  if (end < text.length) parts.push({ kind: undefined, text: text.slice(end) });
  return parts;
}

/** What stands for what: recorded values on the one side, those of this run on the other. */
export class Relations {
  readonly #toRun = new Map<string, string>();
  readonly #toRecording = new Map<string, string>();
  readonly #indexes = new Map<string, number>();

  /** Undefined when the two may be one and the same thing; else what is wrong. */
  match(recorded: string, actual: string): string | undefined {
    const left = split(recorded);
    const right = split(actual);
    if (left.length !== right.length) return 'not of the same shape';
    for (const [at, part] of left.entries()) {
      const other = right[at] as Part;
      if (part.kind?.name !== other.kind?.name)
        return `${other.kind?.name ?? 'text'} where ${part.kind?.name ?? 'text'} was`;
      if (
        part.kind === undefined
          ? part.text !== other.text
          : part.kind.related && !this.#relate(part.kind, part.text, other.text)
      )
        return part.kind === undefined ? 'another text' : `${part.kind.name} that stands for something else elsewhere`;
    }
    return undefined;
  }

  /** Text of a recorded request with the values of this run. */
  translate(recorded: string): string {
    return split(recorded)
      .map(({ kind, text }) => (kind === undefined ? text : (this.#toRun.get(`${kind.name} ${text}`) ?? text)))
      .join('');
  }

  /** Remembers which index of this run a recorded one stands for. */
  learnIndex(dc: string, recorded: number, actual: number): void {
    this.#indexes.set(`${dc} ${recorded}`, actual);
  }

  index(dc: string, recorded: number): number {
    return this.#indexes.get(`${dc} ${recorded}`) ?? recorded;
  }

  /** Forgets nothing when the comparison that used it failed: take a copy before, and use that for the next try. */
  copy(): Relations {
    const copy = new Relations();
    for (const [key, value] of this.#toRun) copy.#toRun.set(key, value);
    for (const [key, value] of this.#toRecording) copy.#toRecording.set(key, value);
    for (const [key, value] of this.#indexes) copy.#indexes.set(key, value);
    return copy;
  }

  #relate(kind: Kind, recorded: string, actual: string): boolean {
    const left = `${kind.name} ${recorded}`;
    const right = `${kind.name} ${actual}`;
    const known = this.#toRun.get(left);
    if (known !== undefined) return known === actual;
    if (this.#toRecording.has(right)) return false;
    this.#toRun.set(left, actual);
    this.#toRecording.set(right, recorded);
    return true;
  }
}
