import { BROADCAST, type IfAddress, LOOPBACK, MULTICAST, POINT_TO_POINT, UP } from './interfaces.ts';
import { contains, formatNetwork, type Ip, parseIp } from './ip.ts';
import { isForwardable, isOfRfc, KNOWN_RFCS } from './rfcs.ts';
import { TemplateError } from './template-error.ts';

type Test = (address: IfAddress) => boolean;

/** What `include` keeps and `exclude` leaves out, by the selector; alternatives are separated by `|`. */
const SELECTORS: Readonly<Record<string, (parameter: string) => Test>> = {
  address: (parameter) => {
    const pattern = regExp(parameter);
    return ({ ip }) => pattern.test(formatNetwork(ip));
  },
  name: (parameter) => {
    const pattern = regExp(parameter);
    return ({ name }) => pattern.test(name);
  },
  network: (parameter) => any(parameter, networkTest),
  port: () => () => false,
  rfc: (parameter) => any(parameter, rfcTest),
  rfcs: (parameter) => any(parameter, rfcTest),
  size: sizeTest,
  type: (parameter) => any(parameter, typeTest),
  flag: flagTest,
  flags: flagTest,
};

export const SELECTOR_NAMES: readonly string[] = Object.keys(SELECTORS);

export function selectorTest(selector: string, parameter: string): Test {
  const make = Object.hasOwn(SELECTORS, selector.toLowerCase()) ? SELECTORS[selector.toLowerCase()] : undefined;
  if (make === undefined)
    throw new TemplateError(`can't select by ${JSON.stringify(selector)}; use ${Object.keys(SELECTORS).join(', ')}`);
  return make(parameter);
}

export function regExp(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new TemplateError(`${JSON.stringify(text)} is no regular expression`);
  }
}

function any(parameter: string, make: (one: string) => Test): Test {
  const tests = parameter.split('|').map(make);
  return (address) => tests.some((test) => test(address));
}

function networkTest(text: string): Test {
  const network = parseIp(text);
  if (network === undefined) throw new TemplateError(`${JSON.stringify(text)} is no network such as "10.0.0.0/8"`);
  return ({ ip }) => contains(network, ip);
}

function rfcTest(rfc: string): Test {
  if (!KNOWN_RFCS.includes(rfc)) throw new TemplateError(`RFC ${rfc} is not known; use ${KNOWN_RFCS.join(', ')}`);
  return ({ ip }) => isOfRfc(ip, rfc) === true;
}

function sizeTest(parameter: string): Test {
  const bits = /^\/?([0-9]{1,3})$/.exec(parameter)?.[1];
  if (bits === undefined)
    throw new TemplateError(`${JSON.stringify(parameter)} is no length of a prefix such as "/24"`);
  return ({ ip }) => ip.bits === Number(bits);
}

function typeTest(type: string): Test {
  const families: Readonly<Record<string, readonly number[]>> = { ip: [4, 6], ipv4: [4], ipv6: [6], unix: [] };
  const wanted = Object.hasOwn(families, type.toLowerCase()) ? families[type.toLowerCase()] : undefined;
  if (wanted === undefined) throw new TemplateError(`${JSON.stringify(type)} is no type: use IP, IPv4, IPv6 or unix`);
  return ({ ip }) => wanted.includes(ip.family);
}

const FLAG_BITS: Readonly<Record<string, number>> = {
  broadcast: BROADCAST,
  down: 0,
  loopback: LOOPBACK,
  multicast: MULTICAST,
  'point-to-point': POINT_TO_POINT,
  up: UP,
};

const is = (network: string): ((ip: Ip) => boolean) => {
  const block = parseIp(network) as Ip;
  return (ip) => contains(block, ip);
};
const LINK_LOCAL_4 = is('169.254.0.0/16');
const LINK_LOCAL_6 = is('fe80::/10');
const MULTICAST_4 = is('224.0.0.0/4');
const MULTICAST_6 = is('ff00::/8');
const isMulticast = (ip: Ip): boolean => MULTICAST_4(ip) || MULTICAST_6(ip);
const isLinkLocal = (ip: Ip): boolean => LINK_LOCAL_4(ip) || LINK_LOCAL_6(ip);
const isLoopback = (ip: Ip): boolean => is('127.0.0.0/8')(ip) || is('::1/128')(ip);

const FLAG_TESTS: Readonly<Record<string, (ip: Ip) => boolean>> = {
  forwardable: isForwardable,
  'global unicast': (ip) => !isLoopback(ip) && !isLinkLocal(ip) && !isMulticast(ip) && ip.value !== 0n,
  'interface-local multicast': is('ff01::/16'),
  'link-local multicast': (ip) => is('224.0.0.0/24')(ip) || is('ff02::/16')(ip),
  'link-local unicast': isLinkLocal,
  loopback: isLoopback,
  multicast: isMulticast,
  unspecified: (ip) => ip.value === 0n,
};

/** Those of the interface must all be set; of those of the address one suffices, whatever the interface has. */
function flagTest(parameter: string): Test {
  const names = parameter.toLowerCase().split('|');
  const unknown = names.find((name) => !Object.hasOwn(FLAG_BITS, name) && !Object.hasOwn(FLAG_TESTS, name));
  if (unknown !== undefined) {
    const known = [...new Set([...Object.keys(FLAG_BITS), ...Object.keys(FLAG_TESTS)])].sort();
    throw new TemplateError(`there is no flag ${JSON.stringify(unknown)}; use ${known.join(', ')}`);
  }
  const bits = names.filter((name) => Object.hasOwn(FLAG_BITS, name)).map((name) => FLAG_BITS[name] as number);
  const mask = bits.reduce((all, bit) => all | bit, 0);
  const tests = names.flatMap((name) => FLAG_TESTS[name] ?? []);
  return ({ ip, flags }) => (bits.length > 0 && (flags & mask) === mask) || tests.some((test) => test(ip));
}
