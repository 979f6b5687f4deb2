import type { KnownDifference } from './replay.ts';

const BY_THE_EDGE = 'Consul’s router sends this answer without the headers of the API';

/** Where answers about keys and sessions differ from Consul's on purpose. */
export const KV_KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    file: 'kv-and-sessions',
    name: 'leading-slash',
    at: /header:x-consul-default-acl-policy/,
    reason: BY_THE_EDGE,
  },
  { file: 'kv-and-sessions', name: '/v1/kv//x', at: /header:x-consul-default-acl-policy/, reason: BY_THE_EDGE },
  {
    file: 'txn-and-events',
    name: 'txn',
    at: /body\.Errors\[0\]\.What/,
    reason: 'the index of a transaction is known once it is decided; Consul gives the next one of its log',
  },
  {
    file: 'txn-and-events',
    name: 'txn-129',
    at: /body/,
    reason: 'up to 128 operations are taken, as by the current edition',
  },
  {
    file: 'case-and-namespaces',
    name: 'ns-kv',
    at: /body/,
    reason: 'the refusal says which namespace there is',
  },
];
