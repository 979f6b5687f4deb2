import { anything, type Kind } from './kind.ts';

/** What follows from giving a key that nothing here reads. */
export type Consequence = 'harmless' | 'lost' | 'refused';

/** One row of the key table. Loading, flags, reload, the reference and `agent/self` all follow it. */
export interface Key<T> {
  readonly kind: Kind<T>;
  readonly fallback: T;
  /** One sentence for the reference and for `-h`. */
  readonly doc: string;
  /** Flag of `isthmus agent`, without dash. */
  readonly flag?: string;
  /** True when a reload takes a new value over; otherwise it needs a restart. */
  readonly reloadable: boolean;
  /** What comes of it: `used`, or what follows from a key of Consul's that is not read here. */
  readonly effect: 'used' | Consequence;
  /** Never shown. */
  readonly secret: boolean;
  /** An older name of Consul for another key. */
  readonly aliasOf?: string;
}

interface KeyOptions {
  readonly flag?: string;
  readonly reloadable?: boolean;
  readonly secret?: boolean;
}

export function used<T>(kind: Kind<T>, fallback: NoInfer<T>, doc: string, options: KeyOptions = {}): Key<T> {
  return {
    kind,
    fallback,
    doc,
    ...(options.flag === undefined ? {} : { flag: options.flag }),
    reloadable: options.reloadable ?? false,
    effect: 'used',
    secret: options.secret ?? false,
  };
}

/** An older name that Consul still takes; its value counts where the newer name is not given. */
export function alias<T>(kind: Kind<T>, fallback: NoInfer<T>, aliasOf: string, flag?: string): Key<T> {
  const base = used(kind, fallback, `Older name of \`${aliasOf}\`.`, flag === undefined ? {} : { flag });
  return { ...base, aliasOf };
}

/** A key of Consul's that is not read here; with a flag where Consul has one (no value: a toggle). */
export function without(effect: Consequence, why: string, flag?: string, takesValue = true): Key<unknown> {
  return {
    kind: takesValue ? anything : { ...anything, toggle: true },
    fallback: null,
    doc: why,
    ...(flag === undefined ? {} : { flag }),
    reloadable: false,
    effect,
    secret: false,
  };
}
