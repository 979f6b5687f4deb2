import type { Key } from './keys/key.ts';
import { KEYS } from './keys/table.ts';

const INTRO = `# Configuration

<!-- Generated from the key table in src/config/keys by \`npm run docs:config\`; do not edit. -->

\`isthmus agent\` reads files in HCL (version 1) or JSON: \`-config-file\` names one, \`-config-dir\` reads every \`*.hcl\` and
\`*.json\` of a directory by name. Later files count over earlier ones and flags over files; lists and maps add up.
\`isthmus validate\` checks files without starting anything. An unknown key or a bad value is an error with file and line.

Keys have the names of Consul's, and case does not matter. A dot is a block: \`ports.http = 8500\` is written
\`ports { http = 8500 }\`. Times are durations such as \`"30s"\` or \`"1h15m"\`. Addresses are IPs or the templates
\`{{ GetPrivateIP }}\`, \`{{ GetPublicIP }}\` and \`{{ GetInterfaceIP "eth0" }}\`.

A reload (SIGHUP, \`isthmus reload\`, \`PUT /v1/agent/reload\`) takes over the keys that are marked so; it names the others
that changed, which need a restart.

Services and checks may be defined in files too (\`service { … }\`, \`services = [ … ]\`, \`check { … }\`). Scripts, Docker and
gRPC checks are not carried out: such a check of a service in a file stays critical, one of the node itself a warning (it
would take every service away), with an output that says why, and one log line lists them. So an existing file starts, and
no service is taken for healthy that nobody looked at.

`;

/** The text of docs/configuration.md. */
export function renderReference(): string {
  const rows = [...KEYS].sort(([a], [b]) => (a < b ? -1 : 1));
  const used = rows.filter(([, key]) => key.effect === 'used' && key.aliasOf === undefined);
  const older = rows.filter(([, key]) => key.aliasOf !== undefined);
  const without = rows.filter(([, key]) => key.effect === 'none');
  return [
    INTRO,
    '## Keys\n\n',
    '| key | type | default | flag | reload | meaning |\n| --- | --- | --- | --- | --- | --- |\n',
    ...used.map(([path, key]) => usedRow(path, key)),
    '\n## Older names\n\nAccepted, with a warning.\n\n| key | use instead |\n| --- | --- |\n',
    ...older.map(([path, key]) => `| \`${path}\` | \`${key.aliasOf}\` |\n`),
    '\n## Accepted without effect\n\n',
    'Keys of Consul that mean nothing here, because there is no gossip and no Raft to tune, or because the feature is not ',
    'there. They are listed once in the log. `encrypt` is about gossip; what protects servers here is TLS: see ',
    '[secure transport](secure-transport.md).\n\n',
    `${without.map(([path, key]) => `\`${path}\`${key.flag === undefined ? '' : ` (\`-${key.flag}\`)`}`).join(', ')}.\n`,
    `\n## Flags that are no keys\n\n${FLAGS.map(([flag, doc]) => `- \`${flag}\`: ${doc}\n`).join('')}`,
  ].join('');
}

const FLAGS: readonly (readonly [string, string])[] = [
  ['-config-file PATH', 'read a file; may be repeated'],
  ['-config-dir PATH', 'read a directory; may be repeated'],
  ['-config-format hcl|json', 'read all files in this format, whatever their names'],
  ['-dev', 'a server in memory on loopback with everything on; needs no configuration'],
];

function usedRow(path: string, key: Key<unknown>): string {
  const fallback = key.kind.show(key.fallback);
  const cells = [
    `\`${path}\``,
    key.kind.label,
    fallback === '' ? '' : `\`${fallback}\``,
    key.flag === undefined ? '' : `\`-${key.flag}\``,
    key.reloadable ? 'yes' : '',
    key.doc,
  ];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
}
