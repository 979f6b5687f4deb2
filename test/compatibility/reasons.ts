import type { Area } from './page.ts';

/**
 * Why something of Consul's is absent or differs. The first pattern that fits counts. A test fails for an absent name
 * without a reason, and for a reason that fits nothing.
 */
type Reasons = Readonly<Record<Area, readonly (readonly [pattern: RegExp, why: string])[]>>;

const NO_AUTH_METHODS = 'tokens are made by operators: there are no auth methods';
const NO_PEERS = 'datacenters are federated; clusters are not peered';
const NO_GATEWAYS = 'there are no gateways yet';
const NO_UI = 'there is no web interface';
const NO_GOSSIP = 'there is no gossip: agents and servers talk TLS';
const SHARED_STORE = 'servers share a store: there is no quorum and no Raft among them';

export const ABSENT: Reasons = {
  endpoints: [
    [/\/v1\/acl\/(login|logout|auth-method|binding-rule)/, NO_AUTH_METHODS],
    [/federation-state/, NO_GATEWAYS],
    [/\/v1\/peering\//, NO_PEERS],
    [/metrics-proxy|\/ui\/$/, NO_UI],
    [/utilization/, 'of the commercial edition'],
    [/debug\/pprof/, 'no profiles are served; `isthmus debug` collects what support needs'],
  ],
  commands: [
    [/^(acl (auth-method|binding-rule)|login|logout)/, NO_AUTH_METHODS],
    [/^acl templated-policy/, 'the HTTP API has it: /v1/acl/templated-policies'],
    [/^(peering|services export|services exported-services)/, NO_PEERS],
    [
      /^connect envoy pipe-bootstrap/,
      'an internal step of `connect envoy`, which passes its bootstrap by a pipe itself',
    ],
    [/^connect (expose|redirect-traffic)/, NO_GATEWAYS],
    [/^exec/, 'left out on purpose: it runs any command on every machine'],
    [/^(keygen|keyring)/, NO_GOSSIP],
  ],
  kinds: [
    [/gateway|http-route|tcp-route|certificate/, NO_GATEWAYS],
    [/exported-services|sameness-group/, NO_PEERS],
    [/control-plane-request-limit/, 'limits of the HTTP API stand in the configuration (docs/limits.md)'],
  ],
};

export const DIFFERS: Reasons = {
  endpoints: [
    [/\/v1\/operator\/keyring$/, `${NO_GOSSIP}. The list is empty, changes are refused`],
    [/\/v1\/operator\/raft\/peer/, `${SHARED_STORE}. A server that has failed is taken off the list`],
    [/\/v1\/operator\/raft\/transfer-leader/, 'which server leads next can not be chosen'],
    [/\/v1\/operator\/raft\/configuration/, `${SHARED_STORE}. Every living server is a voter`],
    [/\/v1\/operator\/autopilot\/configuration/, `${SHARED_STORE}. It is kept and shown, and nothing acts on it`],
    [/\/v1\/operator\/autopilot\/(health|state)/, `${SHARED_STORE}. All servers but one may be lost`],
    [/gateway-services|health\/ingress|gateway-intentions/, `${NO_GATEWAYS}: the list is empty`],
    [/exported-services|imported-services|peerings/, `${NO_PEERS}: the list is empty`],
    [/service-topology/, 'answered 404'],
    [/service-virtual-ip/, 'services have no virtual addresses: none is assigned'],
    [/\/v1\/snapshot/, 'archives have a format of their own'],
    [/\/v1\/agent\/monitor/, 'lines have the fields of this program'],
    [/\/v1\/agent\/metrics/, 'metrics have names of their own (docs/metrics.md)'],
    [/\/v1\/agent\/host/, 'what Node does not say of the machine is empty'],
    [/PUT \/v1\/agent\/token/, 'also `dns` and `config_file_service_registration`; no token of the commercial edition'],
    [/connect\/ca\/configuration/, 'a rotation has two phases (docs/certificate-rotation.md)'],
    [/PUT \/v1\/config$/, 'what has no effect here is named in a header'],
    [/members/, 'there are no network segments'],
  ],
  commands: [
    [/^connect proxy/, 'the built-in sidecar is a full one, also for requests'],
    [/^debug/, 'collects what this program has (docs/support-bundle.md)'],
    [/^snapshot/, 'archives have a format of their own'],
    [/^operator raft list-peers/, SHARED_STORE],
  ],
  kinds: [
    [/^(service-defaults|proxy-defaults)$/, 'without extensions of Envoy, transparent proxies and gateways'],
    [/^mesh$/, 'without peering and transparent proxies'],
  ],
};
