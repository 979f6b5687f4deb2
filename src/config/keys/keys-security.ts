import { auditSinks } from './audit.ts';
import { caConfig } from './ca-config.ts';
import { alias, used } from './key.ts';
import { choice, duration, text, toggle } from './kind.ts';

const defaultPolicy = choice(['allow', 'deny']);
const downPolicy = choice(['allow', 'deny', 'extend-cache', 'async-cache']);
const secret = { secret: true, reloadable: true } as const;

/** Access control and the certificate authority. */
export const SECURITY_KEYS = {
  'acl.enabled': used(toggle, false, 'Check tokens on requests.'),
  'acl.default_policy': used(defaultPolicy, 'allow', 'What happens where no rule says otherwise.'),
  'acl.down_policy': used(downPolicy, 'extend-cache', 'What a token may do while the primary cannot be reached.'),
  'acl.token_ttl': used(duration, 30_000, 'How long the rights of a token are cached.'),
  'acl.enable_key_list_policy': used(
    toggle,
    false,
    'Reading several keys under a prefix takes the right `list` on it.',
  ),
  'acl.enable_token_persistence': used(toggle, false, 'Keep tokens that were set by the API after a restart.'),
  'acl.enable_token_replication': used(toggle, false, 'Copy tokens, not only policies and roles, to this datacenter.'),
  'acl.tokens.initial_management': used(
    text,
    '',
    'Token with all rights; the primary makes it at its first start.',
    secret,
  ),
  'acl.tokens.agent': used(text, '', "Token for the agent's own work.", secret),
  'acl.tokens.agent_recovery': used(text, '', 'Token for this agent while no server can be reached.', secret),
  'acl.tokens.default': used(text, '', 'Token of requests that carry none.', secret),
  'acl.tokens.dns': used(text, '', 'Token of the DNS server; empty takes `acl.tokens.default`.', secret),
  'acl.tokens.config_file_service_registration': used(
    text,
    '',
    'Token that services and checks of files are registered with, where they bring none.',
    secret,
  ),
  'acl.tokens.replication': used(text, '', 'Token that a secondary replicates with.', secret),
  'acl.tokens.master': alias(text, '', 'acl.tokens.initial_management'),
  'acl.tokens.agent_master': alias(text, '', 'acl.tokens.agent_recovery'),
  acl_default_policy: alias(defaultPolicy, 'allow', 'acl.default_policy'),
  acl_enable_key_list_policy: alias(toggle, false, 'acl.enable_key_list_policy'),
  acl_down_policy: alias(downPolicy, 'extend-cache', 'acl.down_policy'),
  acl_ttl: alias(duration, 30_000, 'acl.token_ttl'),
  acl_token: alias(text, '', 'acl.tokens.default'),
  acl_agent_token: alias(text, '', 'acl.tokens.agent'),
  acl_agent_master_token: alias(text, '', 'acl.tokens.agent_recovery'),
  acl_master_token: alias(text, '', 'acl.tokens.initial_management'),
  acl_replication_token: alias(text, '', 'acl.tokens.replication'),
  enable_acl_replication: alias(toggle, false, 'acl.enable_token_replication'),

  default_intention_policy: used(
    choice(['', 'allow', 'deny']),
    '',
    'What happens to connections where no intention says otherwise. Empty takes `acl.default_policy` with access ' +
      'control on, else `allow`. The same in all datacenters.',
  ),

  'audit.enabled': used(toggle, false, 'Record every change: who, what, where, and whether it was allowed.'),
  'audit.sink': used(
    auditSinks,
    [],
    'Where records are written, as named blocks; without one, `audit/audit.json` in the data directory.',
  ),

  'connect.enabled': used(toggle, true, 'Run the certificate authority and the mesh (Consul leaves this off).'),
  'connect.ca_provider': used(text, 'consul', 'Provider that signs; only the built-in one, `consul`.'),
  'connect.ca_config': used(caConfig, {}, 'Configuration of the provider, with the names of the API or in snake case.'),
  'connect.ca_key_encryption_file': used(
    text,
    '',
    'File with the key that encrypts CA private keys at rest. Not in Consul.',
  ),
  'connect.ca_rotation_hold_timeout': used(
    duration,
    600_000,
    'How long a rotation waits for a verifier that does not confirm the new root. Not in Consul.',
  ),
} as const;
