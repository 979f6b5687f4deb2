import { readFileSync } from 'node:fs';
import { json, until } from '../test/harness/index.ts';
import type { Bed } from './bed.ts';
import { httpLoad, quantile, requestBytes, sendAll, type Target } from './http-load.ts';

/** One measured figure. */
export interface Figure {
  readonly what: string;
  readonly unit: string;
  readonly value: number;
  readonly samples: number;
  /** What we want, in words. */
  readonly goal: string;
}

export type Row = (bed: Bed) => Promise<Figure[]>;

/** A server that was just started does its first work slowly: so much goes before what is measured. */
export const WARM = 500;

interface Roots {
  readonly ActiveRootID: string;
}

export const exact = (source: string, destination: string): string =>
  `/v1/connect/intentions/exact?source=${source}&destination=${destination}`;

export const allow = { SourceType: 'consul', Action: 'allow' };
export const deny = { SourceType: 'consul', Action: 'deny' };

/** Runs `work` over `items` with so many at once. */
export async function parallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const queue = [...items];
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let item = queue.pop(); item !== undefined; item = queue.pop()) await work(item);
    }),
  );
}

export function targetOf(http: string): Target {
  const [host = '', port = ''] = http.split(':');
  return { host, port: Number(port), connections: 32 };
}

export async function mustAll(target: Target, requests: readonly Buffer[]): Promise<void> {
  const { failures } = await sendAll(target, requests);
  if (failures > 0) throw new Error(`${failures} of ${requests.length} requests failed`);
}

export const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

export const starting: Row = async (bed) => [
  { what: 'first server ready', unit: 'ms', value: bed.readyMs, samples: 1, goal: '≤ 700' },
  {
    what: 'second datacenter federated, with its intermediate',
    unit: 'ms',
    value: bed.federatedMs,
    samples: 1,
    goal: '≤ 500 more',
  },
];

export const idleMemory: Row = async (bed) => [
  { what: 'memory of an idle server', unit: 'MB', value: residentMb(bed.pids[0] ?? 0), samples: 1, goal: '≤ 80' },
];

export const intentionDelay: Row = async (bed) => {
  const delays: number[] = [];
  const count = 60;
  let index = 0;
  for (const number of numbers(count)) {
    const name = `late${number}`;
    // A watcher in dc2 that is blocked when the write happens in dc1.
    const match = `/v1/connect/intentions/match?by=destination&name=${name}`;
    const seen = waitForMatch(bed.dc2, match, name, index);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const begun = performance.now();
    await json(bed.dc1, 'PUT', exact('web', name), deny);
    index = await seen;
    delays.push(performance.now() - begun);
  }
  return [
    {
      what: 'intention written in dc1, seen in dc2 (p50)',
      unit: 'ms',
      value: quantile(delays, 0.5),
      samples: count,
      goal: '≤ 10',
    },
  ];
};

async function waitForMatch(http: string, path: string, name: string, from: number): Promise<number> {
  let index = from;
  for (;;) {
    const { headers, body } = await blocking(http, `${path}&index=${index}&wait=60s`);
    index = Number(headers);
    if ((JSON.parse(body) as Record<string, unknown[]>)[name]?.length) return index;
  }
}

/** A GET whose X-Consul-Index is wanted. */
export async function blocking(http: string, path: string): Promise<{ headers: string; body: string }> {
  const response = await fetch(`http://${http}${path}`);
  return { headers: response.headers.get('x-consul-index') ?? '0', body: await response.text() };
}

export function bulkIntentions(count: number, goal: string): Row {
  return async (bed) => {
    const names = numbers(count).map((number) => `bulk${count}-${number}`);
    const begun = performance.now();
    const target = targetOf(bed.dc1);
    await mustAll(
      target,
      names.map((name) => requestBytes(target, 'PUT', exact('web', name), allow)),
    );
    const wrote = performance.now();
    const last = names[count - 1] ?? '';
    await until(
      'the last intention in dc2',
      120_000,
      () => json<Record<string, unknown[]>>(bed.dc2, 'GET', `/v1/connect/intentions/match?by=destination&name=${last}`),
      (found) => (found[last]?.length ?? 0) > 0,
    );
    // Listing costs more than what is measured, so it comes only when the last one is there.
    await until(
      'all intentions in dc2',
      120_000,
      () =>
        json<readonly unknown[]>(bed.dc2, 'GET', `/v1/config/service-intentions?filter=Name+matches+"bulk${count}-"`),
      (list) => list.length >= count,
    );
    const end = performance.now();
    return [
      {
        what: `${count} intentions, first write until all are in dc2`,
        unit: 's',
        value: (end - begun) / 1_000,
        samples: 1,
        goal,
      },
      {
        what: `… of these ${count} after the last write was acknowledged`,
        unit: 'ms',
        value: end - wrote,
        samples: 1,
        goal: '',
      },
    ];
  };
}

export const leaves: Row = async (bed) => {
  const count = 3_000;
  const names = numbers(count).map((number) => `leaf-${number}`);
  const target = targetOf(bed.dc1);
  const ask = (those: readonly string[]): Promise<void> =>
    mustAll(
      target,
      those.map((name) => requestBytes(target, 'GET', `/v1/agent/connect/ca/leaf/${name}`)),
    );
  await ask(numbers(WARM).map((number) => `warm-${number}`));
  const begun = performance.now();
  await ask(names);
  const seconds = (performance.now() - begun) / 1_000;
  return [
    {
      what: 'leaf certificates issued (agent API, distinct services)',
      unit: '/s',
      value: count / seconds,
      samples: count,
      goal: '≥ 2,500',
    },
  ];
};

export const rotation: Row = async (bed) => {
  const count = 500;
  const names = numbers(count).map((number) => `rotated-${number}`);
  const index = new Map<string, string>();
  await parallel(names, 32, async (name) => {
    const { headers } = await blocking(bed.dc2, `/v1/agent/connect/ca/leaf/${name}`);
    index.set(name, headers);
  });
  const before = await json<Roots>(bed.dc1, 'GET', '/v1/connect/ca/roots');
  const delays: number[] = [];
  const begun = performance.now();
  const all = Promise.all(
    names.map(async (name) => {
      let at = index.get(name) ?? '0';
      const first = at;
      while (at === first) {
        at = (await blocking(bed.dc2, `/v1/agent/connect/ca/leaf/${name}?index=${first}&wait=120s`)).headers;
      }
      delays.push(performance.now() - begun);
    }),
  );
  if (bed.kind === 'isthmus') await json(bed.dc1, 'PUT', '/v1/connect/ca/rotate');
  else {
    const { generateKeyPairSync } = await import('node:crypto');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const PrivateKey = privateKey.export({ type: 'sec1', format: 'pem' });
    await json(bed.dc1, 'PUT', '/v1/connect/ca/configuration', {
      Provider: 'consul',
      Config: { LeafCertTTL: '72h', PrivateKey, RootCert: '' },
    });
  }
  await all;
  await until(
    'the new root',
    60_000,
    () => json<Roots>(bed.dc2, 'GET', '/v1/connect/ca/roots'),
    (roots) => roots.ActiveRootID !== before.ActiveRootID,
  );
  return [
    {
      what: 'root rotation until 500 leaves in dc2 are re-issued',
      unit: 's',
      value: Math.max(...delays) / 1_000,
      samples: 1,
      goal: '≤ 1',
    },
    { what: '… p50 of the leaves', unit: 's', value: quantile(delays, 0.5) / 1_000, samples: count, goal: '' },
  ];
};

/** 50 passing instances of `x` in dc1. */
export function registerX({ dc1 }: Bed): Promise<void> {
  return parallel(numbers(50), 8, (number) =>
    json(dc1, 'PUT', '/v1/catalog/register', {
      Node: `read-${number}`,
      Address: `10.1.0.${number}`,
      Service: { ID: `x-${number}`, Service: 'x', Port: 80 },
      Check: { CheckID: `c-${number}`, Name: 'c', Status: 'passing', ServiceID: `x-${number}` },
    }),
  );
}

export const reads: Row = async (bed) => {
  await registerX(bed);
  await json(bed.dc1, 'PUT', exact('web', 'x'), allow);
  const measured: Figure[] = [];
  for (const [what, path, goal] of [
    ['/v1/health/service/x?passing, 50 instances', '/v1/health/service/x?passing', '≥ 20,000'],
    ['intention check', '/v1/connect/intentions/check?source=web&destination=x', '≥ 1.5×'],
    ['CA roots', '/v1/connect/ca/roots', '≥ 1.5×'],
    ['service list', '/v1/catalog/services', '≥ 1.5×'],
    ['/v1/status/leader', '/v1/status/leader', '≥ 1.5×'],
  ] as const) {
    const target = { ...targetOf(bed.dc1), path };
    await httpLoad({ ...target, milliseconds: 500 });
    const { perSecond, requests, failures } = await httpLoad({ ...target, milliseconds: 3_000 });
    if (failures > 0) throw new Error(`${path}: ${failures} requests failed`);
    measured.push({ what, unit: '/s', value: perSecond, samples: requests, goal });
  }
  return measured;
};

export function residentMb(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) / 1_024;
}
