import type { KnownDifference } from './replay.ts';

const OWN_VERSION = 'tells this program’s own version beside the one it is compatible with';
const TWO_PHASES =
  'a rotation has two phases here: a root is published first and becomes active later, and the old one goes with ' +
  'its last leaf';
const CROSS_SIGNED =
  'while a rotation is under way, chains carry the cross-signed root; Consul had not moved this leaf yet';

/** Where answers differ from Consul's on purpose. An entry that no longer differs fails the suite. */
export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  { file: 'status-and-errors', name: 'self', at: /body\.Config\.IsthmusVersion/, reason: OWN_VERSION },
  {
    file: 'status-and-errors',
    name: 'self',
    at: /body\.DebugConfig/,
    reason: 'the recording leaves it out',
  },
  {
    file: 'status-and-errors',
    name: 'self',
    at: /body\.Stats\..*/,
    reason: 'counters of Consul’s consensus and gossip, which do not exist here; our own stand in their place',
  },
  {
    file: 'status-and-errors',
    name: 'self',
    at: /body\.xDS\.Ports?$/,
    reason: 'as the current Consul answers, whose clients look there for xDS',
  },
  {
    file: 'status-and-errors',
    name: 'self',
    at: /body\.xDS\.SupportedProxies\.envoy/,
    reason: 'no Envoy is configured by this agent, so none is supported',
  },
  {
    file: 'status-and-errors',
    name: 'host',
    at: /body\..*/,
    reason: 'the recording leaves the metrics out',
  },
  {
    file: 'status-and-errors',
    name: 'coord-dc',
    at: /body/,
    reason: 'Consul did not have the other datacenter’s coordinate yet; here it comes with the first measurement',
    sometimes: true,
  },
  {
    file: 'status-and-errors',
    name: 'no-such-path',
    at: /body|header:(?:content-type|x-consul-default-acl-policy)/,
    reason: 'Consul’s answer is empty, as where an object is missing; here it says that the path is none',
  },
  {
    file: 'catalog-and-health',
    name: '/v1/catalog/nodes',
    at: /body\[0\]\.ModifyIndex/,
    reason: 'Consul writes its own node twice while it starts, this program once',
  },
  {
    file: 'agent',
    name: 'bad-svc-register',
    at: /body/,
    reason: 'the text of the current edition, which has more kinds of checks',
  },
  {
    file: 'agent',
    name: '/v1/agent/checks',
    at: /body\.service:.*\.Output/,
    reason: 'a check’s first run comes at a random moment within its interval',
    sometimes: true,
  },
  {
    file: 'connect-ca',
    name: '/v1/connect/ca/roots?pem=true',
    at: /header:x-consul-(?:index|knownleader|lastcontact)/,
    reason: 'Consul loses these headers when the answer is longer than its buffer (dc2); here they are always there',
  },
  {
    file: 'connect-ca',
    name: '/v1/connect/ca/configuration',
    at: /body\.ModifyIndex/,
    reason: 'Consul’s secondary writes its own configuration again when it gets its intermediate',
  },
  {
    file: 'connect-ca',
    name: 'config-put-in-secondary',
    at: /status|header:content-type|body/,
    reason: 'Consul’s secondary was caught in the middle of a change; here the primary decides, at any time',
  },
  {
    file: 'connect-ca',
    name: 'roots-after-rotation',
    at: /body\.Roots\[\d\]\.ModifyIndex/,
    reason: TWO_PHASES,
    sometimes: true,
  },
  { file: 'connect-ca', name: 'roots-after-rotation', at: /body\.Roots/, reason: TWO_PHASES, sometimes: true },
  { file: 'connect-ca', name: 'leaf-after-rotation', at: /body\.CertPEM/, reason: CROSS_SIGNED, sometimes: true },
];
