import { freePorts, json, until } from '../test/harness/index.ts';
import { openFor, openIdle, openOne, ROUND_TRIPS, roundTrip, startApplication, transfer } from './application.ts';
import { quantile } from './http-load.ts';
import { allow, deny, exact, numbers, type Row, residentMb } from './rows.ts';

/** Idle connections whose memory is measured. */
const IDLE = 1_000;
/** By then a deny must be in effect. */
const REFUSED_MS = 30_000;

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

/** Web in dc1 reaches db in dc2 through the built-in sidecars of both. */
export const sidecars: Row = async (bed) => {
  const app = await startApplication();
  const { first: local } = await freePorts(1);
  try {
    await json(bed.dc2, 'PUT', '/v1/agent/service/register', {
      Name: 'db',
      Port: app.port,
      Connect: { SidecarService: {} },
    });
    const upstream = { DestinationName: 'db', Datacenter: 'dc2', LocalBindPort: local };
    await json(bed.dc1, 'PUT', '/v1/agent/service/register', {
      Name: 'web',
      Port: 8_080,
      Connect: { SidecarService: { Proxy: { Upstreams: [upstream] } } },
    });
    await json(bed.dc1, 'PUT', exact('web', 'db'), allow);
    await bed.sidecar(2, 'db');
    await bed.sidecar(1, 'web');
    const answers = (): Promise<boolean> =>
      openOne(local).then(
        () => true,
        () => false,
      );
    await until('web reaching db', 60_000, answers, Boolean);

    await openFor(local, 1_000); // warm
    const { connections, elapsedMs } = await openFor(local, 3_000);
    const roundTripUs = await roundTrip(local);
    const megabytes = await transfer(local);
    const memory = bed.sidecarPids().map(residentMb);
    const idle: Awaited<ReturnType<typeof openIdle>>[] = [];
    for (const _ of numbers(IDLE)) idle.push(await openIdle(local));
    const withIdle = bed.sidecarPids().map(residentMb);
    for (const each of idle) each.close();
    const refusals: number[] = [];
    const closings: number[] = [];
    for (const _ of numbers(10)) {
      const open = await openIdle(local);
      const from = performance.now();
      await json(bed.dc1, 'PUT', exact('web', 'db'), deny);
      const closed = open.whenClosed.then(() => closings.push(performance.now() - from));
      for (const end = from + REFUSED_MS; await answers(); )
        if (performance.now() > end) throw new Error(`a deny was not in effect within ${REFUSED_MS} ms`);
      refusals.push(performance.now() - from);
      if (bed.kind === 'isthmus') await closed;
      open.close();
      await json(bed.dc1, 'PUT', exact('web', 'db'), allow);
      await until('the allow', 30_000, answers, Boolean);
    }
    return [
      {
        what: 'sidecars, dc1 to dc2: new connections',
        unit: '/s',
        value: (connections * 1_000) / elapsedMs,
        samples: connections,
        goal: '≥ 3×',
      },
      { what: '… round trip (p50)', unit: 'µs', value: roundTripUs, samples: ROUND_TRIPS, goal: '≤ 1×' },
      { what: '… throughput, one connection', unit: 'MB/s', value: megabytes, samples: 1, goal: '≥ 1×' },
      {
        what: '… memory of the larger sidecar after it',
        unit: 'MB',
        value: Math.max(...memory),
        samples: 1,
        goal: '≤ 60',
      },
      {
        what: `… ${IDLE} idle connections: memory each, of both sidecars`,
        unit: 'KB',
        value: ((sum(withIdle) - sum(memory)) * 1_024) / IDLE,
        samples: IDLE,
        goal: '≤ 16',
      },
      {
        what: 'a deny in dc1 refuses a new connection in dc2 (p50)',
        unit: 'ms',
        value: quantile(refusals, 0.5),
        samples: refusals.length,
        goal: '≤ 15',
      },
      ...(closings.length === 0
        ? []
        : [
            {
              what: '… closes an open one (p50)',
              unit: 'ms',
              value: quantile(closings, 0.5),
              samples: closings.length,
              goal: '≤ 50',
            },
          ]),
    ];
  } finally {
    app.close();
  }
};
