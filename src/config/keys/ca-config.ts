import { toPlain } from '../../lib/hcl/node.ts';
import { canonicalKeys } from '../../model/ca-config.ts';
import { type Kind, oneBlock, opaque, type Place } from './kind.ts';

type CaConfig = Readonly<Record<string, unknown>>;

/** Where each key was given last. Beside the values: a line that moved is no change. */
const WHERE = new WeakMap<CaConfig, ReadonlyMap<string, string>>();

/** `c.hcl:7` for a key of `connect.ca_config`. */
export function placeOf(config: CaConfig, key: string): string | undefined {
  return WHERE.get(config)?.get(key);
}

/** `connect.ca_config`, in the API's names; the provider's rules are applied when all files are read. */
export const caConfig: Kind<CaConfig> = {
  ...opaque,
  read(nodes, place: Place) {
    const block = oneBlock(nodes, place);
    const config = canonicalKeys(toPlain(block) as Record<string, unknown>);
    const at = block.entries.map(({ key, at: { line } }) => [nameOf(key), `${place.file}:${line}`] as const);
    WHERE.set(config, new Map(at));
    return config;
  },
  merge(earlier, later) {
    const config = { ...earlier, ...later };
    WHERE.set(config, new Map([...(WHERE.get(earlier) ?? []), ...(WHERE.get(later) ?? [])]));
    return config;
  },
};

function nameOf(key: string): string {
  return Object.keys(canonicalKeys({ [key]: true }))[0] ?? key;
}
