import { expect, it } from 'vitest';
import { FakeClock } from '../../test/fakes/fake-clock.ts';
import { createMetrics } from './metrics.ts';

it('writes what Prometheus scrapes', async () => {
  const metrics = createMetrics({ clock: new FakeClock(), process: false });
  const requests = metrics.counter({
    name: 'isthmus_http_requests_total',
    help: 'Requests.',
    labels: ['method', 'status'],
  });
  requests.add(1, { method: 'GET', status: '200' });
  requests.add(2, { method: 'GET', status: '200' });
  requests.add(1, { method: 'PUT', status: '500' });
  metrics.gauge({ name: 'isthmus_store_rows', help: 'Rows.' }).set(7);
  let live = ['a', 'b'];
  metrics.gauge({ name: 'isthmus_link_up', help: 'Links.', labels: ['datacenter'] }, (set) => {
    for (const datacenter of live) set(1, { datacenter });
  });
  metrics.histogram({ name: 'isthmus_sign_seconds', help: 'Signing.', buckets: [0.1, 1] }).observe(0.5);
  const text = await metrics.prometheus();
  expect(text.split('\n')).toEqual(
    expect.arrayContaining([
      '# HELP isthmus_http_requests_total Requests.',
      '# TYPE isthmus_http_requests_total counter',
      'isthmus_http_requests_total{method="GET",status="200"} 3',
      'isthmus_http_requests_total{method="PUT",status="500"} 1',
      'isthmus_store_rows 7',
      'isthmus_link_up{datacenter="a"} 1',
      'isthmus_sign_seconds_bucket{le="0.1"} 0',
      'isthmus_sign_seconds_bucket{le="1"} 1',
      'isthmus_sign_seconds_sum 0.5',
    ]),
  );
  expect(metrics.prometheusType).toContain('text/plain');
  live = ['b'];
  expect(await metrics.prometheus()).not.toContain('datacenter="a"');
});

it("answers in the shape of Consul's endpoint", async () => {
  const clock = new FakeClock();
  const metrics = createMetrics({ clock, process: false });
  const bytes = metrics.counter({ name: 'isthmus_bytes_total', help: 'Bytes.', labels: ['direction'] });
  for (const amount of [2, 4, 4, 4, 5, 5, 7, 9]) bytes.add(amount, { direction: 'in' });
  metrics.counter({ name: 'isthmus_errors_total', help: 'Errors.' }).add();
  metrics.histogram({ name: 'isthmus_wait_seconds', help: 'Waits.' }).observe(3);
  metrics.gauge({ name: 'isthmus_rows', help: 'Rows.', labels: ['table'] }, (set) => set(5, { table: 'nodes' }));
  metrics.gauge({ name: 'isthmus_unset', help: 'Read from a part that has nothing yet.' }, () => undefined);
  await clock.advance(10_000);
  expect(await metrics.json()).toEqual({
    Timestamp: '2026-01-01 00:00:10 +0000 UTC',
    Gauges: [{ Name: 'isthmus_rows', Value: 5, Labels: { table: 'nodes' } }],
    Points: [],
    Counters: [
      {
        Name: 'isthmus_bytes_total',
        Count: 8,
        Rate: 4,
        Sum: 40,
        Min: 2,
        Max: 9,
        Mean: 5,
        Stddev: expect.closeTo(2.138, 3),
        Labels: { direction: 'in' },
      },
      { Name: 'isthmus_errors_total', Count: 1, Rate: 0.1, Sum: 1, Min: 1, Max: 1, Mean: 1, Stddev: 0, Labels: {} },
    ],
    Samples: [
      { Name: 'isthmus_wait_seconds', Count: 1, Rate: 0.3, Sum: 3, Min: 3, Max: 3, Mean: 3, Stddev: 0, Labels: {} },
    ],
  });
});

it('measures the process in seconds and bytes, and lists all that is declared', async () => {
  const metrics = createMetrics({ clock: new FakeClock() });
  metrics.counter({ name: 'isthmus_a_total', help: 'A.', labels: ['x'] });
  const names = metrics.list().map((metric) => metric.name);
  for (const name of [
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'nodejs_heap_size_used_bytes',
    'nodejs_eventloop_lag_seconds',
  ]) {
    expect(names).toContain(name);
  }
  expect(names).toEqual([...names].sort());
  expect(metrics.list().find((metric) => metric.name === 'isthmus_a_total')).toEqual({
    name: 'isthmus_a_total',
    kind: 'counter',
    help: 'A.',
    labels: ['x'],
  });
  const { Gauges } = await metrics.json();
  expect(Gauges.find((gauge) => gauge.Name === 'process_resident_memory_bytes')?.Value).toBeGreaterThan(1e6);
  expect(await metrics.prometheus()).toContain('process_cpu_seconds_total');
});

it('refuses defects of declarations and labels', () => {
  const metrics = createMetrics({ clock: new FakeClock(), process: false });
  const counter = metrics.counter({ name: 'isthmus_a_total', help: 'A.', labels: ['x'] });
  expect(() => metrics.gauge({ name: 'isthmus_a_total', help: 'A.' })).toThrow('two metrics are named isthmus_a_total');
  expect(() => metrics.counter({ name: 'isthmus_a', help: 'A.' })).toThrow('does not end in _total');
  expect(() => metrics.gauge({ name: 'isthmus.A', help: 'A.' })).toThrow('lower case');
  expect(() => counter.add(1, { y: '1' })).toThrow('y');
});

it('leaves a gauge that fails out of the scrape', async () => {
  const errors: string[] = [];
  const onError = (name: string, error: Error): void => void errors.push(`${name}: ${error.message}`);
  const metrics = createMetrics({ clock: new FakeClock(), process: false, onError });
  metrics.gauge({ name: 'isthmus_bad', help: 'Bad.' }, () => {
    throw new Error('gone');
  });
  metrics.gauge({ name: 'isthmus_good', help: 'Good.' }, (set) => set(1));
  expect(await metrics.prometheus()).toContain('isthmus_good 1');
  expect(errors).toEqual(['isthmus_bad: gone']);
});
