import {
  BOOTSTRAP_KEYS,
  KEYS_WITHOUT_EFFECT,
  PROXY_HATCHES,
  PROXY_KEYS,
  UPSTREAM_HATCHES,
  UPSTREAM_KEYS,
} from '../src/model/proxy-keys.ts';

const INTRO = `# Keys of proxies

<!-- Generated from the table of keys by \`npm run docs:envoy\`; do not edit. -->

What each of the opaque options of Consul's proxies (\`config\` of a proxy and of its upstreams) does here. Those of a
proxy may be set in \`proxy-defaults\` (\`Config\`) too, for all proxies; the registration of a proxy takes precedence.
Other keys are kept and ignored, as in Consul.
`;

const HATCHES =
  "JSON of Envoy's API, with or without `@type`. One that is wrong is named by `isthmus connect envoy -status` and " +
  "in the agent's log, and does nothing; with one of listeners, denies end no TCP connections by themselves. The " +
  'built-in sidecar does not look at them.';

const PARTS = [
  ['Of an upstream', 'Running Envoys, and the built-in sidecar where it can, take them over at once.', UPSTREAM_KEYS],
  ['Of a proxy', 'Taken over at once, too.', PROXY_KEYS],
  ['In place of what Envoys are given', `${HATCHES} Of an upstream:`, UPSTREAM_HATCHES],
  ['In place of what Envoys are given, of a proxy', 'The same way.', PROXY_HATCHES],
  [
    'Of the bootstrap',
    'Read by `isthmus connect envoy`: a change counts from the next start of the Envoy.',
    BOOTSTRAP_KEYS,
  ],
  ['Without effect', 'They are accepted, and `isthmus connect envoy` warns of them.', KEYS_WITHOUT_EFFECT],
] as const;

/** The text of docs/envoy-keys.md. */
export async function renderReference(): Promise<string> {
  return [INTRO, ...PARTS.map(([title, about, keys]) => `\n## ${title}\n\n${about}\n\n${table(keys)}`)].join('');
}

function table(keys: Readonly<Record<string, string>>): string {
  const rows = Object.entries(keys).map(([key, about]) => `| \`${key}\` | ${about.replaceAll('|', '\\|')} |\n`);
  return `| key | what it does |\n| --- | --- |\n${rows.join('')}`;
}
