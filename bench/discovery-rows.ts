import { json, until } from '../test/harness/index.ts';
import { dnsLoad, hasDnsperf } from './dns-load.ts';
import { httpLoad } from './http-load.ts';
import { type Figure, numbers, parallel, type Row, targetOf } from './rows.ts';

const INSTANCES = 50;
/** A service that only dc2 has, so that its query fails over. */
const FAR_INSTANCES = 5;

interface Execution {
  readonly Datacenter: string;
}

/** `found` in dc1, `far` in dc2 alone, and a query for each that may fail over. */
async function register(dc1: string, dc2: string): Promise<void> {
  const instances = (http: string, name: string, count: number): Promise<void> =>
    parallel(numbers(count), 8, (number) =>
      json(http, 'PUT', '/v1/catalog/register', {
        Node: `${name}-${number}`,
        Address: `10.2.0.${number}`,
        Service: { ID: `${name}-${number}`, Service: name, Port: 8_000 + number },
        Check: { CheckID: `c-${name}-${number}`, Name: 'c', Status: 'passing', ServiceID: `${name}-${number}` },
      }),
    );
  await instances(dc1, 'found', INSTANCES);
  await instances(dc2, 'far', FAR_INSTANCES);
  for (const name of ['found', 'far']) {
    const known = await json<readonly { readonly Name: string }[]>(dc1, 'GET', '/v1/query');
    if (known.some(({ Name }) => Name === `geo-${name}`)) continue;
    await json(dc1, 'POST', '/v1/query', {
      Name: `geo-${name}`,
      Service: { Service: name, Failover: { Datacenters: ['dc2'] } },
    });
  }
  await until(
    'the query failing over',
    30_000,
    () => json<Execution>(dc1, 'GET', '/v1/query/geo-far/execute'),
    ({ Datacenter }) => Datacenter === 'dc2',
  );
}

export const dns: Row = async (bed) => {
  if (!hasDnsperf()) {
    return [
      {
        what: 'DNS over UDP (dnsperf)',
        unit: 'no dnsperf here: Debian\'s package "dnsperf"',
        value: Number.NaN,
        samples: 0,
        goal: '',
      },
    ];
  }
  await register(bed.dc1, bed.dc2);
  const measured: Figure[] = [];
  for (const [what, question] of [
    [`DNS over UDP (dnsperf): A of a service, ${INSTANCES} instances`, 'found.service.consul A'],
    ['… SRV of the same', 'found.service.consul SRV'],
    ['… A of a prepared query', 'geo-found.query.consul A'],
    ['… A of a prepared query that fails over to dc2', 'geo-far.query.consul A'],
  ] as const) {
    await dnsLoad(bed.dns, question, 1); // warm
    const { questions, perSecond } = await dnsLoad(bed.dns, question, 4);
    measured.push({ what, unit: '/s', value: perSecond, samples: questions, goal: '≥ 1.5×' });
  }
  return measured;
};

export const queries: Row = async (bed) => {
  await register(bed.dc1, bed.dc2);
  const measured: Figure[] = [];
  for (const [what, name] of [
    [`prepared query over HTTP, served here, ${INSTANCES} instances`, 'geo-found'],
    ['… failed over to dc2', 'geo-far'],
  ] as const) {
    const target = { ...targetOf(bed.dc1), path: `/v1/query/${name}/execute` };
    await httpLoad({ ...target, milliseconds: 500 });
    const { perSecond, requests, failures } = await httpLoad({ ...target, milliseconds: 3_000 });
    if (failures > 0) throw new Error(`${target.path}: ${failures} requests failed`);
    measured.push({ what, unit: '/s', value: perSecond, samples: requests, goal: '≥ 1.5×' });
  }
  return measured;
};
