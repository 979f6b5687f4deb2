/** The query string as Go's url.Values shows it: names are case-sensitive, the first value wins, `?a` is `a=""`. */
export class Query {
  readonly #values: Map<string, string[]> | undefined;

  /** @param text what follows '?', undecoded. */
  constructor(text: string) {
    if (text === '') return;
    const values = new Map<string, string[]>();
    for (const part of text.split('&')) {
      if (part === '') continue;
      const equals = part.indexOf('=');
      const name = decode(equals < 0 ? part : part.slice(0, equals));
      const value = decode(equals < 0 ? '' : part.slice(equals + 1));
      if (name === undefined || value === undefined) continue; // Go drops a pair that does not decode
      const known = values.get(name);
      if (known === undefined) values.set(name, [value]);
      else known.push(value);
    }
    this.#values = values;
  }

  /** The first value; undefined when the name is absent. */
  get(name: string): string | undefined {
    return this.#values?.get(name)?.[0];
  }

  /** The first value, '' when absent: what Consul's handlers see. */
  text(name: string): string {
    return this.get(name) ?? '';
  }

  entries(): readonly (readonly [name: string, value: string])[] {
    return [...(this.#values ?? [])].flatMap(([name, values]) => values.map((value) => [name, value] as const));
  }

  has(name: string): boolean {
    return this.#values?.has(name) === true;
  }

  all(name: string): readonly string[] {
    return this.#values?.get(name) ?? [];
  }

  get empty(): boolean {
    return this.#values === undefined;
  }
}

/** Percent-decodes UTF-8 and turns '+' into a space; undefined when malformed. */
function decode(text: string): string | undefined {
  if (!/[%+]/.test(text)) return text;
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}
