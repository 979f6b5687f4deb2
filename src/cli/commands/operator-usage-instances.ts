import { type Command, type CommandContext, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { columns } from '../output.ts';

interface Usage {
  readonly Services: number;
  readonly ServiceInstances: number;
  readonly BillableServiceInstances: number;
  readonly ConnectServiceInstances: Readonly<Record<string, number>>;
}

export const operatorUsageInstances: Command = {
  path: ['operator', 'usage', 'instances'],
  synopsis: 'Count the instances of services',
  about:
    'Instances of services, and those of the mesh by their kind: sidecars, gateways, native services. "Billable" is ' +
    'what ' +
    'Consul Enterprise counts so: all but sidecars, gateways and the servers themselves.',
  flags: [
    { name: 'all-datacenters', kind: 'bool', about: 'Of every datacenter, each on its own line.' },
    { name: 'only-billable', kind: 'bool', about: 'Show the billable ones alone.' },
    { name: 'only-connect', kind: 'bool', about: 'Show those of the mesh alone.' },
  ],
  api: 'server',
  async run(context) {
    const { flags, json, printJson, print } = context;
    const [billable, connect] = [flags.bool('only-billable'), flags.bool('only-connect')];
    if (billable && connect) throw new UsageError('Cannot specify both -only-billable and -only-connect flags');
    const all = flags.bool('all-datacenters');
    const usage = await usageOf(context, all);
    if (json) {
      printJson(usage);
      return 0;
    }
    const rows = Object.entries(usage).sort(([a], [b]) => (a < b ? -1 : 1));
    const parts = [...(connect ? [] : [billableText(rows, all)]), ...(billable ? [] : [connectText(rows, all)])];
    print(parts.join('\n\n'));
    return 0;
  },
};

async function usageOf({ client }: CommandContext, all: boolean): Promise<Readonly<Record<string, Usage>>> {
  const { transport, catalog } = client();
  const ask = async (datacenter?: string): Promise<Readonly<Record<string, Usage>>> => {
    const call = datacenter === undefined ? {} : { call: { datacenter } };
    const request = { method: 'GET', path: '/v1/operator/usage', ...call } as const;
    const { value } = await doing(
      'Error fetching usage information',
      transport.json<{ readonly Usage: Readonly<Record<string, Usage>> }>(request),
    );
    return value.Usage;
  };
  if (!all) return ask();
  const datacenters = await doing('Error listing datacenters', catalog.datacenters());
  return Object.assign({}, ...(await Promise.all(datacenters.map(ask)))) as Readonly<Record<string, Usage>>;
}

type Rows = readonly (readonly [datacenter: string, usage: Usage])[];

function billableText(rows: Rows, all: boolean): string {
  const total = rows.reduce((sum, [, usage]) => sum + usage.BillableServiceInstances, 0);
  const head = all ? ['Datacenter', 'Services', 'Service instances'] : ['Services', 'Service instances'];
  const lines = rows.map(([datacenter, { Services, BillableServiceInstances }]) => [
    ...(all ? [datacenter] : []),
    String(Services),
    String(BillableServiceInstances),
  ]);
  return `Billable Service Instances Total: ${total}\n\nBillable Services\n${columns([head, ...lines])}`;
}

function connectText(rows: Rows, all: boolean): string {
  const head = [...(all ? ['Datacenter'] : []), 'Type', 'Service instances'];
  const lines = rows.flatMap(([datacenter, usage]) =>
    Object.entries(usage.ConnectServiceInstances).map(([type, count]) => [
      ...(all ? [datacenter] : []),
      type,
      String(count),
    ]),
  );
  return `Connect Services\n${columns([head, ...lines])}`;
}
