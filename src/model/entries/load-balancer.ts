import { parseDuration } from '../../lib/duration.ts';
import type { HashPolicyFields, LoadBalancerFields } from '../discovery-chain.ts';
import { rejected } from './kind.ts';
import { COUNT, DURATION, type Field, FLAG, TEXT } from './schema.ts';

/** How requests are shared out among the instances of a service. */
export const LOAD_BALANCER: Field = {
  type: 'object',
  fields: {
    Policy: TEXT,
    RingHashConfig: { type: 'object', fields: { MinimumRingSize: COUNT, MaximumRingSize: COUNT } },
    LeastRequestConfig: { type: 'object', fields: { ChoiceCount: COUNT } },
    HashPolicies: {
      type: 'list',
      of: {
        Field: TEXT,
        FieldValue: TEXT,
        CookieConfig: { type: 'object', fields: { Session: FLAG, TTL: DURATION, Path: TEXT } },
        SourceIP: FLAG,
        Terminal: FLAG,
      },
    },
  },
};

const POLICIES = new Set(['', 'random', 'round_robin', 'least_request', 'ring_hash', 'maglev']);
const BY_HASH = new Set(['ring_hash', 'maglev']);
const HASHED_FIELDS = new Set(['header', 'cookie', 'query_parameter']);
/** Envoy refuses less. */
const LEAST_CHOICES = 2;
/** Envoy refuses more. */
const MAX_RING = 8_388_608;

/** Throws the first rule that is broken. */
export function validateLoadBalancer(fields: LoadBalancerFields): void {
  const { Policy = '', RingHashConfig: ring, LeastRequestConfig: least, HashPolicies = [] } = fields;
  if (!POLICIES.has(Policy)) throw rejected(`Bad LoadBalancer policy: ${JSON.stringify(Policy)} is not supported`);
  if (ring !== undefined && Policy !== 'ring_hash') throw incompatible('RingHashConfig', Policy);
  if (least !== undefined && Policy !== 'least_request') throw incompatible('LeastRequestConfig', Policy);
  if (HashPolicies.length > 0 && !BY_HASH.has(Policy))
    throw rejected(
      `Bad LoadBalancer configuration: HashPolicies specified for non-hash-based Policy: ${JSON.stringify(Policy)}`,
    );
  const { MinimumRingSize = 1, MaximumRingSize = MAX_RING } = ring ?? {};
  if (MinimumRingSize < 1 || MaximumRingSize > MAX_RING || MinimumRingSize > MaximumRingSize)
    throw rejected(
      `Bad LoadBalancer RingHashConfig: sizes are from 1 to ${MAX_RING}, the minimum not above the maximum`,
    );
  if (least?.ChoiceCount !== undefined && least.ChoiceCount < LEAST_CHOICES)
    throw rejected(`Bad LoadBalancer LeastRequestConfig: ChoiceCount must be at least ${LEAST_CHOICES}`);
  for (const [at, policy] of HashPolicies.entries()) validateHash(policy, `Bad LoadBalancer HashPolicy[${at}]`);
}

function incompatible(field: string, policy: string): Error {
  return rejected(
    `Bad LoadBalancer configuration. ${field} specified for incompatible load balancing policy ` +
      `${JSON.stringify(policy)}`,
  );
}

function validateHash(policy: HashPolicyFields, where: string): void {
  const { Field, FieldValue, CookieConfig: cookie, SourceIP } = policy;
  const field = JSON.stringify(Field);
  if (SourceIP === true && Field !== undefined)
    throw rejected(`${where}: A single hash policy cannot hash both a source address and a ${field}`);
  if (Field === undefined) {
    if (FieldValue !== undefined) throw rejected(`${where}: FieldValue requires a Field to apply to`);
    if (SourceIP !== true) throw rejected(`${where}: a Field or SourceIP is required`);
  } else {
    if (!HASHED_FIELDS.has(Field)) throw rejected(`${where}: ${field} is not a supported field`);
    if (FieldValue === undefined) throw rejected(`${where}: Field ${field} was specified without a FieldValue`);
  }
  if (cookie === undefined) return;
  if (Field !== 'cookie') throw rejected(`${where}: cookie_config provided for ${field ?? 'a source address'}`);
  if (cookie.Session === true && cookie.TTL !== undefined)
    throw rejected(`${where}: a session cookie cannot have an associated TTL`);
  if (cookie.TTL !== undefined && parseDuration(cookie.TTL) < 0) throw rejected(`${where}: a TTL must be >= 0`);
}
