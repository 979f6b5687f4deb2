import {
  collectDefaultMetrics,
  Counter as PromCounter,
  Gauge as PromGauge,
  Histogram as PromHistogram,
  Registry,
} from 'prom-client';
import type { Clock } from '../lib/clock.ts';
import { IsthmusError, invariant } from '../lib/errors.ts';
import { Aggregates } from './aggregates.ts';
import type { Counter, Gauge, Histogram, Labels, MetricSpec, Metrics } from './types.ts';

export interface MetricsOptions {
  readonly clock: Clock;
  /** Adds figures of the process itself: CPU seconds, memory bytes, event loop delay, collections. Default true. */
  readonly process?: boolean;
  /** Told when reading a gauge failed; it is left out of that scrape. */
  readonly onError?: (name: string, error: IsthmusError) => void;
}

export type MetricKind = 'counter' | 'gauge' | 'histogram';

/** A declared metric, for the reference. */
export interface MetricInfo {
  readonly name: string;
  readonly kind: MetricKind;
  readonly help: string;
  readonly labels: readonly string[];
}

/** The shape of `GET /v1/agent/metrics`. Counters and samples are since the start of the process. */
export interface MetricsJson {
  readonly Timestamp: string;
  readonly Gauges: readonly { readonly Name: string; readonly Value: number; readonly Labels: Labels }[];
  readonly Points: readonly never[];
  readonly Counters: readonly MetricSample[];
  readonly Samples: readonly MetricSample[];
}

export interface MetricSample {
  readonly Name: string;
  readonly Count: number;
  /** Sum for each second. */
  readonly Rate: number;
  readonly Sum: number;
  readonly Min: number;
  readonly Max: number;
  readonly Mean: number;
  readonly Stddev: number;
  readonly Labels: Labels;
}

export interface MetricsRegistry extends Metrics {
  /** The text that Prometheus scrapes. */
  prometheus(): Promise<string>;
  readonly prometheusType: string;
  json(): Promise<MetricsJson>;
  /** All that is declared, by name. */
  list(): MetricInfo[];
}

const NAME = /^[a-z][a-z0-9_]*$/;

export function createMetrics(options: MetricsOptions): MetricsRegistry {
  const { clock } = options;
  const started = clock.now();
  const registry = new Registry();
  const counters = new Map<string, Aggregates>();
  const histograms = new Map<string, Aggregates>();
  const declared: MetricInfo[] = [];

  if (options.process !== false) {
    collectDefaultMetrics({ register: registry });
    for (const metric of registry.getMetricsAsArray()) {
      // Its typings call the kind a number; it is the word.
      const kind = metric.type as unknown as MetricKind;
      const { labelNames } = registry.getSingleMetric(metric.name) as unknown as { readonly labelNames?: string[] };
      declared.push({ name: metric.name, kind, help: metric.help, labels: labelNames ?? [] });
    }
  }

  const declare = (kind: MetricKind, spec: MetricSpec) => {
    invariant(NAME.test(spec.name), `metric name ${spec.name} is not in lower case with underscores`);
    invariant(kind !== 'counter' || spec.name.endsWith('_total'), `counter ${spec.name} does not end in _total`);
    invariant(registry.getSingleMetric(spec.name) === undefined, `two metrics are named ${spec.name}`);
    declared.push({ name: spec.name, kind, help: spec.help, labels: spec.labels ?? [] });
    return { name: spec.name, help: spec.help, labelNames: [...(spec.labels ?? [])], registers: [registry] };
  };

  return {
    counter(spec): Counter {
      const sink = new PromCounter(declare('counter', spec));
      const aggregates = new Aggregates(spec.labels ?? []);
      counters.set(spec.name, aggregates);
      return {
        add(amount = 1, labels) {
          if (labels === undefined) sink.inc(amount);
          else sink.inc(labels, amount);
          aggregates.add(amount, labels);
        },
      };
    },

    gauge(spec, collect): Gauge {
      const config = declare('gauge', spec);
      const set = (sink: PromGauge, value: number, labels?: Labels): void => {
        if (labels === undefined) sink.set(value);
        else sink.set(labels, value);
      };
      if (collect === undefined) {
        const sink = new PromGauge(config);
        return { set: (value, labels) => set(sink, value, labels) };
      }
      const sink: PromGauge = new PromGauge({
        ...config,
        collect() {
          sink.reset();
          if (config.labelNames.length === 0) sink.remove();
          try {
            collect((value, labels) => set(sink, value, labels));
          } catch (error) {
            options.onError?.(spec.name, IsthmusError.from(error));
          }
        },
      });
      return { set: (value, labels) => set(sink, value, labels) };
    },

    histogram(spec): Histogram {
      const config = declare('histogram', spec);
      const sink = new PromHistogram({ ...config, ...(spec.buckets !== undefined && { buckets: [...spec.buckets] }) });
      const aggregates = new Aggregates(spec.labels ?? []);
      histograms.set(spec.name, aggregates);
      return {
        observe(value, labels) {
          if (labels === undefined) sink.observe(value);
          else sink.observe(labels, value);
          aggregates.add(value, labels);
        },
      };
    },

    prometheus: () => registry.metrics(),
    prometheusType: registry.contentType,

    async json() {
      const now = clock.now();
      const seconds = Math.max((now - started) / 1_000, 1e-3);
      const gauges: { Name: string; Value: number; Labels: Labels }[] = [];
      for (const metric of await registry.getMetricsAsJSON()) {
        // Counters of the process have no samples of their own, only a total.
        if (counters.has(metric.name) || histograms.has(metric.name)) continue;
        if ((metric.type as unknown) === 'histogram') continue;
        for (const { value, labels } of metric.values) {
          gauges.push({ Name: metric.name, Value: value, Labels: textLabels(labels) });
        }
      }
      const samples = (of: ReadonlyMap<string, Aggregates>): MetricSample[] =>
        [...of].flatMap(([name, aggregates]) =>
          aggregates.list().map(({ labels, count, sum, min, max, mean, stddev }) => ({
            Name: name,
            Count: count,
            Rate: sum / seconds,
            Sum: sum,
            Min: min,
            Max: max,
            Mean: mean,
            Stddev: stddev,
            Labels: labels,
          })),
        );
      return {
        Timestamp: `${new Date(now).toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`,
        Gauges: gauges,
        Points: [],
        Counters: samples(counters),
        Samples: samples(histograms),
      };
    },

    list: () => [...declared].sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

/** The process's own gauges have numbers among their labels; clients read text. */
function textLabels(labels: Readonly<Record<string, string | number | undefined>>): Labels {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]));
}
