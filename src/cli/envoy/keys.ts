import { IsthmusError } from '../../lib/errors.ts';
import type { BootstrapKey } from '../../model/proxy-keys.ts';
import type { Options } from '../../model/proxy-options.ts';

/**
 * Values of the keys that an Envoy is started with. A wrong one is named: Envoy's own text would not say where it came
 * from.
 */

/** '' when it is not given. */
export function textOf(config: Options, key: BootstrapKey): string {
  const value = config[key] ?? '';
  if (typeof value === 'string') return value;
  throw wrong(key, 'must be a text');
}

export function textsOf(config: Options, key: BootstrapKey): readonly string[] {
  const value = config[key] ?? [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  return list.map((each) => {
    if (typeof each === 'string') return each;
    throw wrong(key, 'must be a list of texts');
  });
}

/** JSON objects with commas between them, as Consul has it. */
export function objectsOf(config: Options, key: BootstrapKey): readonly object[] {
  return parsed(`[${textOf(config, key)}]`, key) as readonly object[];
}

/** Undefined when it is not given. */
export function objectOf(config: Options, key: BootstrapKey): object | undefined {
  const text = textOf(config, key);
  if (text === '') return undefined;
  const value = parsed(text, key);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw wrong(key, 'must be a JSON object');
}

function parsed(text: string, key: BootstrapKey): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw wrong(key, `is no JSON: ${(cause as Error).message}`);
  }
}

export function wrong(key: BootstrapKey, why: string): IsthmusError {
  return new IsthmusError(
    'invalid_argument',
    `${key} ${why}: mend it in the proxy's registration or in proxy-defaults`,
  );
}
