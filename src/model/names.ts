import { IsthmusError } from '../lib/errors.ts';

/**
 * The one grammar and the one form of names of datacenters, nodes and services. Names that arrive over any channel pass
 * through here before they are compared, kept as a key, or written into a certificate; what is shown to people stays as
 * it was registered.
 *
 * Consul finds names without regard to case, takes any text as the name of a node or a service (it only warns that DNS
 * can't find it), and takes `[a-z0-9_-]` for datacenters. Here a name also never holds what changes its meaning on the
 * way: path separators, escapes, wildcards, quotes, control and invisible characters.
 */
const DATACENTER = /^[a-z0-9_-]+$/;
/** A datacenter is one label of host names: `server.<datacenter>.<domain>`. */
const MAX_DATACENTER = 63;
/** Names of nodes and services, UTF-16 units. */
const MAX_NAME = 255;
/** Control, format and private characters, line separators, lone surrogates, and what has a meaning elsewhere. */
const FORBIDDEN = /[/\\%*?#"'`<>|]|\p{C}|\p{Zl}|\p{Zp}/u;
const EDGE_SPACE = /^\s|\s$/u;
/** In texts about a name that is refused: a longer one is cut. */
const MAX_SHOWN = 64;

/** Two names are the same when these are equal. Of a name that was checked when it came in. */
export function foldName(name: string): string {
  return name.toLowerCase();
}

/** The form that is compared and kept; throws `invalid_argument` for what is no name of a datacenter. */
export function canonicalDatacenter(name: string): string {
  return canonical('datacenter', name, tryDatacenter(name), `1 to ${MAX_DATACENTER} of a-z, 0-9, - and _`);
}

/**
 * The form that is compared and kept; throws `invalid_argument` for what is no name of a service. A wildcard is none.
 */
export function canonicalServiceName(name: string): string {
  return canonical('service', name, tryName(name), NAME_RULE);
}

/** The form that is compared and kept; throws `invalid_argument` for what is no name of a node. */
export function canonicalNodeName(name: string): string {
  return canonical('node', name, tryName(name), NAME_RULE);
}

/** As {@link canonicalDatacenter}; undefined for what is no name. */
export function tryDatacenter(name: string): string | undefined {
  const folded = foldName(name);
  return folded.length <= MAX_DATACENTER && DATACENTER.test(folded) ? folded : undefined;
}

/** As {@link canonicalServiceName} and {@link canonicalNodeName}; undefined for what is no name. */
export function tryName(name: string): string | undefined {
  if (name === '' || name === '.' || name === '..' || name.length > MAX_NAME) return undefined;
  if (SIMPLE.test(name)) return name;
  if (FORBIDDEN.test(name) || EDGE_SPACE.test(name)) return undefined;
  const folded = foldName(name);
  return folded.length <= MAX_NAME ? folded : undefined; // a few letters are two in lower case
}

/** Nearly every name: it is its own canonical form. */
const SIMPLE = /^[a-z0-9_-]+$/;

const NAME_RULE =
  `1 to ${MAX_NAME} characters, without / \\ % * ? # | quotes, angle brackets, control characters, ` +
  `or spaces at its ends`;

function canonical(what: string, name: string, found: string | undefined, rule: string): string {
  if (found !== undefined) return found;
  const shown = JSON.stringify(name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name);
  throw new IsthmusError('invalid_argument', `${shown} can't be the name of a ${what}: it is ${rule}`);
}
