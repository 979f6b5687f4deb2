import type { InstanceAddress } from '../../client/catalog.ts';
import { type Command, doing } from '../command.ts';
import { columns } from '../output.ts';

const REASONS: Readonly<Record<string, string>> = {
  'service wan': 'the WAN address of the service',
  service: 'the address of the service',
  'node wan': 'the WAN address of the node',
  node: 'the address of the node',
};

export const catalogAddress: Command = {
  path: ['catalog', 'address'],
  synopsis: 'Show which address of a service a datacenter gets, and why',
  argsUsage: 'SERVICE',
  about:
    'Sidecars in another datacenter always dial this address; HTTP and DNS hand it out where translate_wan_addrs is ' +
    'on. ' +
    'Use -datacenter for the datacenter that the service is in.',
  flags: [
    { name: 'from', kind: 'text', placeholder: 'datacenter', about: "Who asks. Default the agent's own datacenter." },
    { name: 'connect', kind: 'bool', about: 'The instances that accept mesh connections for the service.' },
  ],
  api: 'server',
  async run({ client, args, flags, json, printJson, print, complain }) {
    const [service, ...more] = args;
    if (service === undefined || more.length > 0) {
      complain('Exactly one service name must be given');
      return 1;
    }
    const { catalog } = client();
    const options = { from: flags.text('from'), connect: flags.bool('connect') };
    const found = await doing('Error asking for addresses', catalog.addresses(service, options));
    if (json) {
      printJson(found);
      return 0;
    }
    if (found.length === 0) {
      complain(`No instances of ${JSON.stringify(service)}`);
      return 1;
    }
    print(columns([['Node', 'Service ID', 'DC', 'From', 'Address', 'Because'], ...found.map(row)]));
    return 0;
  },
};

function row({ Node, ServiceID, Datacenter, From, Address, Port, Source }: InstanceAddress): readonly string[] {
  const address = Address.includes(':') ? `[${Address}]:${Port}` : `${Address}:${Port}`;
  return [Node, ServiceID, Datacenter, From, address, `it is ${REASONS[Source] ?? Source}`];
}
