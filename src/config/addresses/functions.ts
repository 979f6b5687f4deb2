import { ATTRIBUTES } from './attributes.ts';
import { regExp, selectorTest } from './filters.ts';
import {
  byAddress,
  byDefault,
  byName,
  byPrivate,
  bySize,
  byType,
  type Compare,
  defaultInterfaces,
  type IfAddress,
  privateInterfaces,
  publicInterfaces,
  sortBy,
} from './interfaces.ts';
import { calculate } from './math.ts';
import { isForwardable, isPrivate } from './rfcs.ts';
import { TemplateError } from './template-error.ts';

export type Value = string | number | readonly IfAddress[];

/** Arguments in order, what is piped in last. */
type Function = (args: readonly Value[], all: readonly IfAddress[]) => Value;

const ORDERS: Readonly<Record<string, Compare>> = {
  address: byAddress,
  default: byDefault,
  name: byName,
  port: () => 0,
  private: byPrivate,
  size: bySize,
  type: byType,
};

export const FUNCTIONS: Readonly<Record<string, Function>> = {
  GetAllInterfaces: none('GetAllInterfaces', (all) => all),
  GetDefaultInterfaces: none('GetDefaultInterfaces', defaultInterfaces),
  GetPrivateInterfaces: none('GetPrivateInterfaces', privateInterfaces),
  GetPublicInterfaces: none('GetPublicInterfaces', publicInterfaces),
  GetPrivateIP: none('GetPrivateIP', (all) => first(privateInterfaces(all))),
  GetPublicIP: none('GetPublicIP', (all) => first(publicInterfaces(all))),
  GetPrivateIPs: none('GetPrivateIPs', (all) => addresses(forwardable(all).filter(({ ip }) => isPrivate(ip)))),
  GetPublicIPs: none('GetPublicIPs', (all) => addresses(forwardable(all).filter(({ ip }) => !isPrivate(ip)))),
  GetInterfaceIP: (args, all) => {
    const found = named(text('GetInterfaceIP', args, 0, 1), all);
    return first([...found.filter(({ ip }) => isForwardable(ip)), ...found]);
  },
  GetInterfaceIPs: (args, all) => addresses(named(text('GetInterfaceIPs', args, 0, 1), all)),

  sort: (args) => sortBy(list('sort', args, 1), text('sort', args, 0, 2).split(',').map(orderOf)),
  include: (args) =>
    list('include', args, 2).filter(selectorTest(text('include', args, 0, 3), text('include', args, 1, 3))),
  exclude: (args) => {
    const test = selectorTest(text('exclude', args, 0, 3), text('exclude', args, 1, 3));
    return list('exclude', args, 2).filter((address) => !test(address));
  },
  unique: (args) => {
    const attribute = attributeOf(text('unique', args, 0, 2));
    const seen = new Set<string>();
    return list('unique', args, 1).filter((address) => {
      const value = attribute(address);
      const isNew = !seen.has(value);
      seen.add(value);
      return isNew;
    });
  },
  limit: (args) => list('limit', args, 1).slice(0, count('limit', args, 0)),
  offset: (args) => {
    const by = count('offset', args, 0, true);
    const all = list('offset', args, 1);
    if (Math.abs(by) > all.length)
      throw new TemplateError(`offset ${by} is beyond the ${all.length} addresses that there are`);
    return all.slice(by === 0 ? 0 : by);
  },
  math: (args) => {
    const [operation, value] = [text('math', args, 0, 3), text('math', args, 1, 3)];
    return list('math', args, 2).map((address) => calculate(operation, value, address));
  },
  attr: (args) => attributes('attr', args)[0] ?? '',
  Attr: (args) => attributes('Attr', args)[0] ?? '',
  join: (args) => {
    const attribute = attributeOf(text('join', args, 0, 3));
    return list('join', args, 2)
      .map(attribute)
      .join(text('join', args, 1, 3));
  },
  len: (args) => list('len', args, 0).length,
};

function attributes(name: string, args: readonly Value[]): readonly string[] {
  const attribute = attributeOf(text(name, args, 0, 2));
  return list(name, args, 1).slice(0, 1).map(attribute);
}

function attributeOf(name: string): (address: IfAddress) => string {
  const found = Object.hasOwn(ATTRIBUTES, name.toLowerCase()) ? ATTRIBUTES[name.toLowerCase()] : undefined;
  if (found === undefined)
    throw new TemplateError(`addresses have no ${JSON.stringify(name)}; use ${Object.keys(ATTRIBUTES).join(', ')}`);
  return found;
}

function orderOf(clause: string): Compare {
  const [, sign = '', name = ''] = /^([+-]?)(.*)$/.exec(clause.trim().toLowerCase()) ?? [];
  const compare = Object.hasOwn(ORDERS, name) ? ORDERS[name] : undefined;
  if (compare === undefined)
    throw new TemplateError(`can't sort by ${JSON.stringify(clause)}; use ${Object.keys(ORDERS).join(', ')}`);
  return sign === '-' ? (a, b) => compare(b, a) : compare;
}

function none(name: string, get: (all: readonly IfAddress[]) => Value): Function {
  return (args, all) => {
    if (args.length > 0) throw new TemplateError(`${name} takes no arguments`);
    return get(all);
  };
}

function text(name: string, args: readonly Value[], at: number, wanted: number): string {
  if (args.length !== wanted) throw new TemplateError(`${name} takes ${wanted} arguments, not ${args.length}`);
  const value = args[at];
  if (typeof value !== 'string') throw new TemplateError(`argument ${at + 1} of ${name} must be a text in quotes`);
  return value;
}

function list(name: string, args: readonly Value[], at: number): readonly IfAddress[] {
  const value = args[at];
  if (value === undefined || typeof value !== 'object')
    throw new TemplateError(`${name} needs a list of addresses, such as GetPrivateInterfaces | ${name} …`);
  return value;
}

/** Also as a text: `offset "-2"`. */
function count(name: string, args: readonly Value[], at: number, negative = false): number {
  const value = Number(args[at]);
  if (typeof args[at] === 'object' || !Number.isInteger(value) || (value < 0 && !negative))
    throw new TemplateError(`${name} takes a whole number`);
  return value;
}

function forwardable(all: readonly IfAddress[]): readonly IfAddress[] {
  return sortBy(
    all.filter(({ ip }) => isForwardable(ip)),
    [byType, bySize],
  );
}

function named(pattern: string, all: readonly IfAddress[]): readonly IfAddress[] {
  const name = regExp(pattern);
  return sortBy(
    all.filter((address) => name.test(address.name)),
    [byType, bySize],
  );
}

const address = ATTRIBUTES.address as (of: IfAddress) => string;
const addresses = (found: readonly IfAddress[]): string => found.map(address).join(' ');
const first = (found: readonly IfAddress[]): string => addresses(found.slice(0, 1));
