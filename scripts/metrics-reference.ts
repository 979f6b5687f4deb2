import { runAgent } from '../src/daemon/main.ts';
import { systemClock } from '../src/lib/clock.ts';
import { createSidecar } from '../src/sidecar/sidecar.ts';
import { createMetrics, type MetricInfo } from '../src/telemetry/metrics.ts';
import { noLog } from '../src/telemetry/types.ts';

const INTRO = `# Metrics

<!-- Generated from what the programs declare by \`npm run docs:metrics\`; do not edit. -->

An agent shows them at \`/v1/agent/metrics\`, as JSON in the shape of Consul's or with \`?format=prometheus\`; a sidecar at
the \`metrics\` address of its ready line, path \`/metrics\`. Both add figures of the process and of Node
(\`process_*\`, \`nodejs_*\`). Counters start at zero with the process. Times are seconds.

Worth an alert:

- \`isthmus_ca_root_expiry_seconds\`, \`isthmus_ca_intermediate_expiry_seconds\` and
  \`isthmus_sidecar_leaf_expiry_seconds\` below what you need to act: each is renewed long before.
- \`isthmus_replication_lag_seconds\` above a minute: rules written in the primary don't arrive.
- \`isthmus_replication_quarantined_entries\` above zero: \`isthmus replication status\` names them.
- \`isthmus_federation_link_up\` at zero: \`isthmus federation status\` says why.
`;

/** The text of docs/metrics.md. */
export async function renderReference(): Promise<string> {
  return [INTRO, '\n## Agent\n\n', table(await ofAgent()), '\n## Sidecar\n\n', table(ofSidecar())].join('');
}

async function ofAgent(): Promise<readonly MetricInfo[]> {
  const declared = new Map<string, MetricInfo>();
  for (const server of ['true', 'false'])
    await runAgent({
      input: { flags: { server: [server] }, sources: [], dev: true },
      describe: (metrics) => {
        for (const metric of metrics.list()) declared.set(metric.name, metric);
      },
    });
  return [...declared.values()];
}

/** A sidecar declares what it measures when it is made; it is never started. */
function ofSidecar(): readonly MetricInfo[] {
  const metrics = createMetrics({ clock: systemClock, process: false });
  const source = {} as Parameters<typeof createSidecar>[0]['source'];
  createSidecar({ source, clock: systemClock, log: noLog, metrics });
  return metrics.list();
}

function table(metrics: readonly MetricInfo[]): string {
  const rows = metrics
    .filter(({ name }) => name.startsWith('isthmus_'))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, kind, labels, help }) => {
      const cells = [
        `\`${name}\``,
        kind,
        labels.map((label) => `\`${label}\``).join(', '),
        help.replace(/\.$/, '').replaceAll('|', '\\|'),
      ];
      return `| ${cells.join(' | ')} |\n`;
    });
  return ['| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n', ...rows].join('');
}
