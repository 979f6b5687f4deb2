import { configEntries } from './config-entries.ts';
import { checks, services } from './definitions.ts';
import { used } from './key.ts';
import { choice, duration, integer, text, textMap, texts, toggle } from './kind.ts';
import { watches } from './watches.ts';

const reload = { reloadable: true } as const;

/** Services, queries, DNS, HTTP and logs. */
export const AGENT_KEYS = {
  services: used(services, [], 'Services of this node.', reload),
  service: used(services, [], 'One service of this node; the block may be repeated.', reload),
  checks: used(checks, [], 'Checks of this node or of its services.', reload),
  check: used(checks, [], 'One check; the block may be repeated.', reload),
  watches: used(
    watches,
    [],
    'What is followed, each with a script or a URL that gets each new answer (docs/events-and-watches.md).',
    reload,
  ),
  'config_entries.bootstrap': used(
    configEntries,
    [],
    'Configuration entries that the primary writes when they do not exist.',
  ),

  auto_reload_config: used(
    toggle,
    false,
    'Reload by itself when a configuration file, or the file of a certificate or key that it names, has changed.',
    { flag: 'auto-reload-config' },
  ),

  log_level: used(choice(['trace', 'debug', 'info', 'warn', 'error', 'err']), 'info', 'Least level that is logged.', {
    flag: 'log-level',
    reloadable: true,
  }),
  log_json: used(toggle, false, 'Log JSON lines.', { flag: 'log-json' }),
  log_file: used(text, '', 'Log to this file as well.', { flag: 'log-file' }),

  default_query_time: used(duration, 300_000, 'How long a blocking query without `wait` blocks.', {
    flag: 'default-query-time',
  }),
  max_query_time: used(duration, 600_000, 'Longest time that a blocking query may ask for.', {
    flag: 'max-query-time',
  }),
  check_update_interval: used(
    duration,
    300_000,
    'How long a new output without a new status may wait before it is sent to the servers.',
  ),
  check_output_max_size: used(integer(1), 4096, "Bytes of a check's output that are kept.", {
    flag: 'check_output_max_size',
  }),
  enable_script_checks: used(
    toggle,
    false,
    'Run the commands of script and Docker checks, also of those that the API registers: whoever may write to a ' +
      'service may then run commands on this machine as this agent.',
    { flag: 'enable-script-checks' },
  ),
  enable_local_script_checks: used(toggle, false, 'Run the commands of script and Docker checks in files.', {
    flag: 'enable-local-script-checks',
  }),
  check_allow_redirect_hosts: used(toggle, false, 'HTTP checks follow redirects to other hosts too.'),
  check_allow_link_local: used(
    toggle,
    false,
    'Checks may connect to link-local addresses, where clouds answer with credentials.',
  ),
  discard_check_output: used(toggle, false, 'Keep no output of checks.'),

  domain: used(text, 'consul.', 'Domain that the DNS server answers for.', { flag: 'domain' }),
  alt_domain: used(text, '', 'A second such domain.', { flag: 'alt-domain' }),
  recursors: used(texts, [], 'DNS servers that are asked for other names.', { flag: 'recursor', ...reload }),
  'dns_config.allow_stale': used(toggle, true, 'Answer from any server.', reload),
  'dns_config.max_stale': used(duration, 315_360_000_000, 'How old such an answer may be.', reload),
  'dns_config.node_ttl': used(duration, 0, 'TTL of answers about nodes.', reload),
  'dns_config.service_ttl': used(textMap, {}, 'TTL of answers about services, by name; `*` is any.', reload),
  'dns_config.only_passing': used(toggle, false, 'Leave out instances with warnings.', reload),
  'dns_config.enable_truncate': used(toggle, false, 'Set the truncated bit when UDP answers are cut.', reload),
  'dns_config.udp_answer_limit': used(
    integer(),
    3,
    'Most records in a UDP answer about services, names that lead to them not counted.',
    reload,
  ),
  'dns_config.udp_max_size': used(
    integer(512, 65_507),
    1_232,
    'Bytes of a UDP answer at most, however many a client takes; the rest is had over TCP.',
    reload,
  ),
  'dns_config.rate_limit': used(
    integer(),
    1_000,
    'UDP answers a second to one source network (/24 or /56, not loopback); above it clients are sent to TCP; 0 is ' +
      'any.',
    reload,
  ),
  'dns_config.a_record_limit': used(integer(), 0, 'Most address records in any answer; 0 is without limit.', reload),
  'dns_config.disable_compression': used(toggle, false, 'Send names uncompressed.', reload),
  'dns_config.enable_additional_node_meta_txt': used(
    toggle,
    true,
    'Add TXT records with the metadata of nodes.',
    reload,
  ),
  'dns_config.recursor_timeout': used(duration, 2_000, 'How long a recursor may take.', reload),
  'dns_config.recursor_strategy': used(
    choice(['sequential', 'random']),
    'sequential',
    'Which recursor is asked first: the first in the list, or any.',
    reload,
  ),
  'dns_config.soa.refresh': used(integer(), 3600, 'Seconds, in the SOA record.', reload),
  'dns_config.soa.retry': used(integer(), 600, 'Seconds, in the SOA record.', reload),
  'dns_config.soa.expire': used(integer(), 86_400, 'Seconds, in the SOA record.', reload),
  'dns_config.soa.min_ttl': used(integer(), 0, 'Seconds, in the SOA record.', reload),

  'http_config.response_headers': used(textMap, {}, 'Headers added to each answer.'),
  'http_config.block_endpoints': used(texts, [], 'Path prefixes that are refused.'),
  'http_config.allow_write_http_from': used(texts, [], 'Networks (CIDR) that may write; empty is everyone.', {
    flag: 'allow-write-http-from',
  }),
  'http_config.allow_hosts': used(
    texts,
    [],
    'Names with a dot by which clients reach this agent, beside its own; `*.example.com` is all below it, `*` any.',
  ),
  'http_config.allow_origins': used(
    texts,
    [],
    'Origins of web pages that may change something, such as `https://ops.example.com`.',
  ),
  'http_config.max_header_bytes': used(integer(), 0, 'Most bytes of request headers; 0 takes 32 KiB.'),
  'http_config.use_cache': used(toggle, true, 'Let `?cached` answer from the agent.'),
} as const;
