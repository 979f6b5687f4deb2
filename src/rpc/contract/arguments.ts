import { IsthmusError } from '../../lib/errors.ts';
import type { ArgumentType } from './methods/method.ts';
import { READS, type ReadName } from './reads.ts';
import { WRITES, type WriteName } from './writes.ts';

/** A read that another process asks for. Throws `invalid_argument` when there is none, or when it lacks an argument. */
export function knownRead(name: string, args: unknown): ReadName {
  return known(READS, name, args);
}

/** The same for a write. */
export function knownWrite(name: string, args: unknown): WriteName {
  return known(WRITES, name, args);
}

/** Longest part of an unknown name that is sent back. */
const MAX_NAME = 100;

function known<N extends string>(
  methods: Readonly<Record<N, { readonly needs: Readonly<Record<string, ArgumentType>> }>>,
  name: string,
  args: unknown,
): N {
  if (!isOwn(methods, name))
    throw new IsthmusError(
      'invalid_argument',
      `this server knows nothing by the name ${JSON.stringify(name.slice(0, MAX_NAME))}`,
    );
  if (!isObject(args)) throw wrong(name, 'takes an object');
  const { needs } = methods[name];
  for (const field in needs) {
    const type = needs[field] as ArgumentType;
    if (!FITS[type](args[field])) throw wrong(name, `needs ${field}, ${WHAT[type]}`);
  }
  return name;
}

function isOwn<N extends string>(methods: Readonly<Record<N, unknown>>, name: string): name is N {
  return Object.hasOwn(methods, name);
}

const FITS: Readonly<Record<ArgumentType, (value: unknown) => boolean>> = {
  text: (value) => typeof value === 'string',
  texts: (value) => Array.isArray(value) && value.every((item) => typeof item === 'string'),
  number: (value) => typeof value === 'number',
  object: isObject,
};
const WHAT: Readonly<Record<ArgumentType, string>> = {
  text: 'a text',
  texts: 'a list of texts',
  number: 'a number',
  object: 'an object',
};

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrong(name: string, text: string): IsthmusError {
  return new IsthmusError('invalid_argument', `${name} ${text}`);
}
