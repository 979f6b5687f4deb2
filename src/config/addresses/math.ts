import type { IfAddress } from './interfaces.ts';
import { hostMask, type Ip, networkMask, networkOf, widthOf } from './ip.ts';
import { TemplateError } from './template-error.ts';

/** `math OPERATION VALUE` of one address. */
export function calculate(operation: string, value: string, address: IfAddress): IfAddress {
  const { ip } = address;
  switch (operation.toLowerCase()) {
    case 'address':
      return { ...address, ip: { ...ip, value: modulo(ip.value + signed(operation, value), ip) } };
    case 'network': {
      // From the start of the network on, or from its end back; never out of it.
      const by = signed(operation, value);
      const offset = by >= 0n ? by : hostMask(ip) + 1n + by;
      return { ...address, ip: { ...ip, value: networkOf(ip) + modulo(offset, ip, hostMask(ip)) } };
    }
    case 'mask': {
      const bits = /^[0-9]{1,3}$/.test(value) ? Number(value) : -1;
      if (bits < 0 || bits > widthOf(ip))
        throw new TemplateError(`math "mask" takes a number from 0 to ${widthOf(ip)}, not ${JSON.stringify(value)}`);
      const masked = ip.value & networkMask({ ...ip, bits });
      return { ...address, ip: { ...ip, value: masked, bits: Math.min(bits, ip.bits) } };
    }
    default:
      throw new TemplateError(`math knows address, network and mask, not ${JSON.stringify(operation)}`);
  }
}

function signed(operation: string, value: string): bigint {
  if (!/^[+-][0-9]{1,20}$/.test(value))
    throw new TemplateError(`math ${JSON.stringify(operation)} takes a number with its sign, such as "+1" or "-1"`);
  return BigInt(value.replace('+', ''));
}

/** Around the end of the address space, or of `within`. */
function modulo(value: bigint, ip: Ip, within = (1n << BigInt(widthOf(ip))) - 1n): bigint {
  return value & within;
}
