import { tryParseDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';

/**
 * Reads the arguments of an extension: names in any letter case, as Consul takes them; what is not asked for is refused
 * by its name, since an extension may be what keeps somebody out.
 */
export class Arguments {
  readonly #path: string;
  readonly #values: ReadonlyMap<string, readonly [name: string, value: unknown]>;
  readonly #asked = new Set<string>();
  readonly #inner: Arguments[] = [];

  constructor(path: string, value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(path, 'must be an object');
    this.#path = path;
    this.#values = new Map(Object.entries(value).map(([name, each]) => [plain(name), [name, each]]));
  }

  text(name: string): string | undefined {
    const value = this.#take(name);
    if (value === undefined || value === '') return undefined;
    if (typeof value === 'string') return value;
    throw this.wrong(name, 'must be a text');
  }

  required(name: string): string {
    const value = this.text(name);
    if (value === undefined) throw this.wrong(name, 'is missing');
    return value;
  }

  oneOf<T extends string>(name: string, known: readonly T[], otherwise?: T): T {
    const value = this.text(name) ?? otherwise;
    const found = known.find((each) => each === value);
    if (found !== undefined) return found;
    throw this.wrong(name, `must be one of ${known.join(', ')}${value === undefined ? '' : `, not ${value}`}`);
  }

  flag(name: string): boolean | undefined {
    const value = this.#take(name);
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.wrong(name, 'must be true or false');
  }

  count(name: string): number | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 2 ** 32 - 1) return value;
    throw this.wrong(name, 'must be a number from 0');
  }

  /** Milliseconds. */
  duration(name: string): number | undefined {
    const value = this.#take(name);
    if (value === undefined || value === '') return undefined;
    const ms =
      typeof value === 'number' ? value / 1e6 : typeof value === 'string' ? tryParseDuration(value) : undefined;
    if (ms !== undefined && ms >= 0) return ms;
    throw this.wrong(name, 'must be a time such as 10s');
  }

  texts(name: string): readonly string[] {
    const value = this.#take(name) ?? [];
    if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value as readonly string[];
    throw this.wrong(name, 'must be a list of texts');
  }

  object(name: string): Arguments | undefined {
    const value = this.#take(name);
    return value === undefined ? undefined : this.#within(name, value);
  }

  objects(name: string): readonly Arguments[] {
    const value = this.#take(name) ?? [];
    if (!Array.isArray(value)) throw this.wrong(name, 'must be a list');
    return value.map((each, at) => this.#within(`${name}[${at}]`, each));
  }

  /** Texts by names that are the user's own. */
  map(name: string): Readonly<Record<string, unknown>> {
    const value = this.#take(name) ?? {};
    if (typeof value === 'object' && !Array.isArray(value)) return value as Readonly<Record<string, unknown>>;
    throw this.wrong(name, 'must be an object');
  }

  any(name: string): unknown {
    return this.#take(name);
  }

  has(name: string): boolean {
    return this.#values.has(plain(name));
  }

  /** Throws when there is something that was not asked for. */
  done(): void {
    for (const [key, [name]] of this.#values) if (!this.#asked.has(key)) throw this.wrong(name, 'is not known');
    for (const each of this.#inner) each.done();
  }

  wrong(name: string, why: string): IsthmusError {
    return wrong(`${this.#path}.${name}`, why);
  }

  #take(name: string): unknown {
    this.#asked.add(plain(name));
    return this.#values.get(plain(name))?.[1] ?? undefined;
  }

  #within(name: string, value: unknown): Arguments {
    const inner = new Arguments(`${this.#path}.${name}`, value);
    this.#inner.push(inner);
    return inner;
  }
}

function wrong(path: string, why: string): IsthmusError {
  return new IsthmusError('rejected', `${path} ${why}`);
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll('_', '');
}
