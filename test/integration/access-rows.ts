import { WEB_LEAF_URI } from './access-world.ts';

/** What is asked of a route, and what a token must grant for it. */
export interface AccessRow {
  /** With its query. */
  readonly path: string;
  readonly body?: unknown;
  /** Rules that suffice. Absent: everybody may, whose token is known. */
  readonly rules?: string;
  /** Only a token with all rights suffices. */
  readonly management?: boolean;
  /** What those get who may not: absent, a refusal; otherwise the answer without what they may not see. */
  readonly hidden?: RegExp;
  /** What those get who may; default anything that is no refusal. */
  readonly shown?: RegExp;
  /** Status for those who may; default 200. */
  readonly status?: number;
  /** Why the token is not looked at. */
  readonly unchecked?: string;
}

const ACL_READ = 'acl = "read"';
const ACL_WRITE = 'acl = "write"';
const OPERATOR_READ = 'operator = "read"';
const OPERATOR_WRITE = 'operator = "write"';
const AGENT_READ = 'agent "n1" { policy = "read" }';
const AGENT_WRITE = 'agent "n1" { policy = "write" }';
const NODES = 'node_prefix "" { policy = "read" }';
const NODE_WRITE = 'node "n1" { policy = "write" }';
const WEB = 'service "web" { policy = "read" }';
const WEB_WRITE = 'service "web" { policy = "write" }';
const WEB_SEEN = `${NODES} ${WEB}`;
const INTENTIONS = 'service "web" { policy = "read" intentions = "write" }';
const SESSION = 'session "n1" { policy = "read" }';
const SESSION_WRITE = 'session "n1" { policy = "write" }';
const QUERY = 'query "q" { policy = "read" }';
const QUERY_WRITE = 'query_prefix "q" { policy = "write" }';
const GRANTS = { Policies: [{ Name: 'kept' }] };
const EMPTY_LIST = /^\[\]$/;
const EMPTY_OBJECT = /^\{\}$/;

/** A row for each route; the test fails when one is missing. What is deleted or changed is there for its row alone. */
export const ACCESS_ROWS: Readonly<Record<string, AccessRow>> = {
  'PUT /v1/acl/bootstrap': {
    path: '/v1/acl/bootstrap',
    unchecked: 'it is guarded by being possible once',
    status: 403,
  },
  'GET /v1/acl/policies': { path: '/v1/acl/policies', rules: ACL_READ, shown: /"kept"/ },
  'PUT /v1/acl/policy': { path: '/v1/acl/policy', body: { Name: 'made' }, rules: ACL_WRITE },
  'GET /v1/acl/policy/:id': { path: '/v1/acl/policy/{policy}', rules: ACL_READ, shown: /"kept"/ },
  'PUT /v1/acl/policy/:id': { path: '/v1/acl/policy/{policy}', body: { Name: 'kept' }, rules: ACL_WRITE },
  'DELETE /v1/acl/policy/:id': { path: '/v1/acl/policy/{doomedPolicy}', rules: ACL_WRITE },
  'GET /v1/acl/policy/name/:name': { path: '/v1/acl/policy/name/kept', rules: ACL_READ, shown: /"kept"/ },
  'GET /v1/acl/replication': { path: '/v1/acl/replication' },
  'PUT /v1/acl/role': { path: '/v1/acl/role', body: { Name: 'made', ...GRANTS }, rules: ACL_WRITE },
  'GET /v1/acl/role/:id': { path: '/v1/acl/role/{role}', rules: ACL_READ, shown: /"kept"/ },
  'PUT /v1/acl/role/:id': { path: '/v1/acl/role/{role}', body: { Name: 'kept', ...GRANTS }, rules: ACL_WRITE },
  'DELETE /v1/acl/role/:id': { path: '/v1/acl/role/{doomedRole}', rules: ACL_WRITE },
  'GET /v1/acl/role/name/:name': { path: '/v1/acl/role/name/kept', rules: ACL_READ, shown: /"kept"/ },
  'GET /v1/acl/roles': { path: '/v1/acl/roles', rules: ACL_READ, shown: /"kept"/ },
  'PUT /v1/acl/token': { path: '/v1/acl/token', body: GRANTS, rules: ACL_WRITE },
  'GET /v1/acl/token/:accessor': { path: '/v1/acl/token/{token}', rules: ACL_READ, shown: /<hidden>/ },
  'PUT /v1/acl/token/:accessor': { path: '/v1/acl/token/{token}', body: GRANTS, rules: ACL_WRITE },
  'DELETE /v1/acl/token/:accessor': { path: '/v1/acl/token/{doomedToken}', rules: ACL_WRITE },
  'PUT /v1/acl/token/:accessor/clone': { path: '/v1/acl/token/{token}/clone', rules: ACL_WRITE },
  'GET /v1/acl/token/self': { path: '/v1/acl/token/self', shown: /AccessorID/ },
  'GET /v1/acl/templated-policies': { path: '/v1/acl/templated-policies', rules: ACL_READ, shown: /builtin\/dns/ },
  'GET /v1/acl/templated-policy/name/*name': {
    path: '/v1/acl/templated-policy/name/builtin/service',
    rules: ACL_READ,
    shown: /sidecar-proxy/,
  },
  'POST /v1/acl/templated-policy/preview/*name': {
    path: '/v1/acl/templated-policy/preview/builtin/service',
    body: { Name: 'web' },
    rules: ACL_READ,
    shown: /web-sidecar-proxy/,
  },
  'GET /v1/acl/tokens': { path: '/v1/acl/tokens', rules: ACL_READ, shown: /"kept"/ },

  'GET /v1/agent/host': { path: '/v1/agent/host', rules: OPERATOR_READ, shown: /"CPU"/ },
  'GET /v1/agent/version': { path: '/v1/agent/version', rules: AGENT_READ, shown: /HumanVersion/ },
  'GET /v1/agent/metrics/stream': { path: '/v1/agent/metrics/stream', rules: AGENT_READ },
  'DELETE /v1/operator/raft/peer': {
    path: '/v1/operator/raft/peer?id=none',
    rules: OPERATOR_WRITE,
    status: 500,
    shown: /was not found in the Raft configuration/,
  },
  'POST /v1/operator/raft/transfer-leader': {
    path: '/v1/operator/raft/transfer-leader',
    rules: OPERATOR_WRITE,
    status: 500,
    shown: /no other server/,
  },
  'GET /v1/operator/autopilot/configuration': {
    path: '/v1/operator/autopilot/configuration',
    rules: OPERATOR_READ,
    shown: /CleanupDeadServers/,
  },
  'PUT /v1/operator/autopilot/configuration': {
    path: '/v1/operator/autopilot/configuration',
    body: { CleanupDeadServers: true },
    rules: OPERATOR_WRITE,
    shown: /true/,
  },
  'GET /v1/operator/autopilot/state': {
    path: '/v1/operator/autopilot/state',
    rules: OPERATOR_READ,
    shown: /FailureTolerance/,
  },
  'GET /v1/operator/usage': { path: '/v1/operator/usage', rules: OPERATOR_READ, shown: /ServiceInstances/ },
  'GET /v1/operator/keyring': { path: '/v1/operator/keyring', rules: OPERATOR_READ, shown: EMPTY_LIST },
  'POST /v1/operator/keyring': { path: '/v1/operator/keyring', rules: OPERATOR_WRITE, status: 400 },
  'PUT /v1/operator/keyring': { path: '/v1/operator/keyring', rules: OPERATOR_WRITE, status: 400 },
  'DELETE /v1/operator/keyring': { path: '/v1/operator/keyring', rules: OPERATOR_WRITE, status: 400 },
  'GET /v1/internal/ui/catalog-overview': {
    path: '/v1/internal/ui/catalog-overview',
    rules: 'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" }',
    shown: /"Nodes"/,
  },
  'GET /v1/internal/ui/node/*node': { path: '/v1/internal/ui/node/n1', rules: NODES, hidden: /^null$/, shown: /"n1"/ },
  'GET /v1/internal/ui/exported-services': {
    path: '/v1/internal/ui/exported-services',
    unchecked: 'there is nothing to be seen',
  },
  'GET /v1/internal/ui/gateway-services-nodes/*gateway': {
    path: '/v1/internal/ui/gateway-services-nodes/g',
    unchecked: 'there is nothing to be seen',
  },
  'GET /v1/internal/ui/gateway-intentions/*gateway': {
    path: '/v1/internal/ui/gateway-intentions/g',
    unchecked: 'there is nothing to be seen',
  },
  'GET /v1/health/ingress/*service': { path: '/v1/health/ingress/web', unchecked: 'there is nothing to be seen' },
  'GET /v1/catalog/gateway-services/*gateway': {
    path: '/v1/catalog/gateway-services/g',
    unchecked: 'there is nothing to be seen',
  },
  'GET /v1/exported-services': { path: '/v1/exported-services', unchecked: 'there is nothing to be seen' },
  'GET /v1/imported-services': { path: '/v1/imported-services', unchecked: 'there is nothing to be seen' },
  'GET /v1/peerings': { path: '/v1/peerings', unchecked: 'there is nothing to be seen' },
  'POST /v1/internal/acl/authorize': {
    path: '/v1/internal/acl/authorize',
    body: [{ Resource: 'operator', Access: 'read' }],
    shown: /"Allow"/,
  },
  'PUT /v1/internal/service-virtual-ip': {
    path: '/v1/internal/service-virtual-ip',
    body: { Service: 'web' },
    rules: OPERATOR_WRITE,
  },

  'GET /v1/agent/checks': { path: '/v1/agent/checks', rules: WEB, hidden: EMPTY_OBJECT, shown: /web-ttl/ },
  'PUT /v1/agent/check/register': {
    path: '/v1/agent/check/register',
    body: { Name: 'another', ServiceID: 'web', TTL: '1h', Status: 'passing' },
    rules: WEB_WRITE,
  },
  'PUT /v1/agent/check/pass/*id': { path: '/v1/agent/check/pass/web-ttl', rules: WEB_WRITE },
  'PUT /v1/agent/check/warn/*id': { path: '/v1/agent/check/warn/web-ttl', rules: WEB_WRITE },
  'PUT /v1/agent/check/fail/*id': { path: '/v1/agent/check/fail/web-ttl', rules: WEB_WRITE },
  'PUT /v1/agent/check/update/*id': {
    path: '/v1/agent/check/update/web-ttl',
    body: { Status: 'passing' },
    rules: WEB_WRITE,
  },
  'PUT /v1/agent/check/deregister/*id': { path: '/v1/agent/check/deregister/doomed-check', rules: WEB_WRITE },
  'POST /v1/agent/connect/authorize': {
    path: '/v1/agent/connect/authorize',
    body: { Target: 'web', ClientCertURI: WEB_LEAF_URI, ClientCertSerial: '01' },
    rules: WEB_WRITE,
  },
  'GET /v1/agent/connect/ca/leaf/*service': {
    path: '/v1/agent/connect/ca/leaf/web',
    rules: WEB_WRITE,
    shown: /PRIVATE KEY/,
  },
  'GET /v1/agent/connect/ca/roots': {
    path: '/v1/agent/connect/ca/roots',
    unchecked: 'root certificates are for everybody who verifies',
  },
  'PUT /v1/agent/force-leave/*node': { path: '/v1/agent/force-leave/nobody', rules: OPERATOR_WRITE, status: 500 },
  'GET /v1/agent/health/service/id/*id': { path: '/v1/agent/health/service/id/web', rules: WEB },
  'GET /v1/agent/health/service/name/*name': { path: '/v1/agent/health/service/name/web', rules: WEB },
  'PUT /v1/agent/join/*address': { path: '/v1/agent/join/127.0.0.1:1', rules: AGENT_WRITE, status: 500 },
  'PUT /v1/agent/leave': { path: '/v1/agent/leave', rules: AGENT_WRITE },
  'PUT /v1/agent/maintenance': { path: '/v1/agent/maintenance?enable=false', rules: NODE_WRITE },
  'GET /v1/agent/members': { path: '/v1/agent/members', rules: NODES, hidden: EMPTY_LIST, shown: /"n1"/ },
  'GET /v1/agent/metrics': { path: '/v1/agent/metrics', rules: AGENT_READ, shown: /Gauges/ },
  'PUT /v1/event/fire/*name': {
    path: '/v1/event/fire/deploy',
    rules: 'event "deploy" { policy = "write" }',
    shown: /"deploy"/,
  },
  'GET /v1/event/list': {
    path: '/v1/event/list',
    rules: 'event_prefix "" { policy = "read" }',
    hidden: EMPTY_LIST,
  },
  'GET /v1/agent/monitor': { path: '/v1/agent/monitor?recent', rules: AGENT_READ, shown: /agent is ready/ },
  'PUT /v1/agent/reload': { path: '/v1/agent/reload', rules: AGENT_WRITE },
  'GET /v1/agent/self': { path: '/v1/agent/self', rules: AGENT_READ, shown: /DebugConfig/ },
  'GET /v1/agent/service/*id': { path: '/v1/agent/service/web', rules: WEB, shown: /"web"/ },
  'PUT /v1/agent/service/deregister/*id': {
    path: '/v1/agent/service/deregister/doomed-service',
    rules: 'service "doomed" { policy = "write" }',
  },
  'PUT /v1/agent/service/maintenance/*id': {
    path: '/v1/agent/service/maintenance/web?enable=false',
    rules: WEB_WRITE,
  },
  'PUT /v1/agent/service/register': {
    path: '/v1/agent/service/register',
    body: { Name: 'web', ID: 'web-2' },
    rules: WEB_WRITE,
  },
  'GET /v1/agent/connect/envoys': {
    path: '/v1/agent/connect/envoys',
    rules: WEB,
    hidden: EMPTY_LIST,
    shown: EMPTY_LIST, // no Envoy follows that agent; test/e2e/envoy-access.test.ts has some
  },
  'GET /v1/agent/services': { path: '/v1/agent/services', rules: WEB, hidden: EMPTY_OBJECT, shown: /"web"/ },
  'PUT /v1/agent/token/:kind': { path: '/v1/agent/token/replication', body: { Token: '' }, rules: AGENT_WRITE },

  'GET /v1/catalog/connect/*service': {
    path: '/v1/catalog/connect/web',
    rules: `${NODES} service_prefix "web" { policy = "read" }`,
    hidden: EMPTY_LIST,
    shown: /web-sidecar-proxy/,
  },
  'GET /v1/catalog/datacenters': { path: '/v1/catalog/datacenters', shown: /dc1/ },
  'PUT /v1/catalog/register': {
    path: '/v1/catalog/register',
    body: { Node: 'made', Address: '10.0.0.9' },
    rules: 'node "made" { policy = "write" }',
  },
  'PUT /v1/catalog/deregister': {
    path: '/v1/catalog/deregister',
    body: { Node: 'doomed-node' },
    rules: 'node "doomed-node" { policy = "write" }',
  },
  'GET /v1/catalog/node-services/*node': {
    path: '/v1/catalog/node-services/n1',
    rules: WEB_SEEN,
    hidden: /^null$/,
    shown: /"web"/,
  },
  'GET /v1/catalog/node/*node': { path: '/v1/catalog/node/n1', rules: WEB_SEEN, hidden: /^null$/, shown: /"web"/ },
  'GET /v1/catalog/nodes': { path: '/v1/catalog/nodes', rules: NODES, hidden: EMPTY_LIST, shown: /"n1"/ },
  'GET /v1/catalog/service/*service': {
    path: '/v1/catalog/service/web',
    rules: WEB_SEEN,
    hidden: EMPTY_LIST,
    shown: /"web"/,
  },
  'GET /v1/catalog/services': {
    path: '/v1/catalog/services',
    rules: WEB,
    hidden: EMPTY_OBJECT,
    shown: /^\{"web":\[\]\}$/,
  },

  'GET /v1/connect/ca/configuration': { path: '/v1/connect/ca/configuration', rules: OPERATOR_READ },
  'PUT /v1/connect/ca/configuration': {
    path: '/v1/connect/ca/configuration',
    body: { Provider: 'consul', Config: { LeafCertTTL: '71h' } },
    rules: OPERATOR_WRITE,
  },
  'GET /v1/connect/ca/roots': { path: '/v1/connect/ca/roots', shown: /RootCert/ },
  'PUT /v1/connect/ca/rotate': { path: '/v1/connect/ca/rotate', rules: OPERATOR_WRITE },
  'GET /v1/connect/ca/rotation': { path: '/v1/connect/ca/rotation', rules: OPERATOR_READ },
  'GET /v1/connect/ca/status': { path: '/v1/connect/ca/status', rules: OPERATOR_READ },
  'GET /v1/connect/intentions': {
    path: '/v1/connect/intentions',
    rules: WEB,
    hidden: EMPTY_LIST,
    shown: /"DestinationName":"web"/,
  },
  'POST /v1/connect/intentions': {
    path: '/v1/connect/intentions',
    body: { SourceName: 'other', DestinationName: 'web', Action: 'allow', SourceType: 'consul' },
    rules: INTENTIONS,
  },
  'GET /v1/connect/intentions/*id': { path: '/v1/connect/intentions/{intention}', rules: WEB, shown: /"web"/ },
  'PUT /v1/connect/intentions/*id': {
    path: '/v1/connect/intentions/{intention}',
    body: { SourceName: 'third', DestinationName: 'web', Action: 'deny', SourceType: 'consul' },
    rules: INTENTIONS,
  },
  'DELETE /v1/connect/intentions/*id': { path: '/v1/connect/intentions/{doomedIntention}', rules: INTENTIONS },
  'GET /v1/connect/intentions/check': {
    path: '/v1/connect/intentions/check?source=api&destination=web',
    rules: WEB,
    shown: /"Allowed":true/,
  },
  'GET /v1/connect/intentions/exact': {
    path: '/v1/connect/intentions/exact?source=api&destination=web',
    rules: WEB,
    shown: /"web"/,
  },
  'PUT /v1/connect/intentions/exact': {
    path: '/v1/connect/intentions/exact?source=fourth&destination=web',
    body: { Action: 'allow', SourceType: 'consul' },
    rules: INTENTIONS,
  },
  'DELETE /v1/connect/intentions/exact': {
    path: '/v1/connect/intentions/exact?source=doomed-too&destination=web',
    rules: INTENTIONS,
  },
  'GET /v1/connect/intentions/match': {
    path: '/v1/connect/intentions/match?by=destination&name=web',
    rules: WEB,
    shown: /"web"/,
  },

  'PUT /v1/config': {
    path: '/v1/config',
    body: { Kind: 'service-defaults', Name: 'web', Protocol: 'tcp' },
    rules: WEB_WRITE,
    shown: /true/,
  },
  'GET /v1/config/:kind': {
    path: '/v1/config/service-defaults',
    rules: WEB,
    hidden: EMPTY_LIST,
    shown: /"web"/,
  },
  'GET /v1/config/:kind/*name': { path: '/v1/config/service-defaults/web', rules: WEB, shown: /"web"/ },
  'DELETE /v1/config/:kind/*name': {
    path: '/v1/config/service-resolver/doomed',
    rules: 'service "doomed" { policy = "write" }',
  },
  'GET /v1/coordinate/datacenters': { path: '/v1/coordinate/datacenters' },
  'GET /v1/coordinate/node/:node': { path: '/v1/coordinate/node/n1', rules: NODES, shown: /"n1"/ },
  'GET /v1/coordinate/nodes': { path: '/v1/coordinate/nodes', rules: NODES, hidden: EMPTY_LIST, shown: /"n1"/ },
  'PUT /v1/coordinate/update': {
    path: '/v1/coordinate/update',
    body: { Node: 'n1', Coord: { Vec: [0, 0, 0, 0, 0, 0, 0, 0] } },
    rules: NODE_WRITE,
  },
  'GET /v1/discovery-chain/*service': { path: '/v1/discovery-chain/web', rules: WEB, shown: /"web"/ },
  'POST /v1/discovery-chain/*service': { path: '/v1/discovery-chain/web', body: {}, rules: WEB, shown: /"web"/ },

  'GET /v1/health/checks/*service': {
    path: '/v1/health/checks/web',
    rules: WEB_SEEN,
    hidden: EMPTY_LIST,
    shown: /web-ttl/,
  },
  'GET /v1/health/connect/*service': {
    path: '/v1/health/connect/web',
    rules: `${NODES} service_prefix "web" { policy = "read" }`,
    hidden: EMPTY_LIST,
    shown: /web-sidecar-proxy/,
  },
  'GET /v1/health/node/*node': { path: '/v1/health/node/n1', rules: WEB_SEEN, hidden: EMPTY_LIST, shown: /web-ttl/ },
  'GET /v1/health/service/*service': {
    path: '/v1/health/service/web',
    rules: WEB_SEEN,
    hidden: EMPTY_LIST,
    shown: /"web"/,
  },
  'GET /v1/health/state/*state': {
    path: '/v1/health/state/any',
    rules: WEB_SEEN,
    hidden: EMPTY_LIST,
    shown: /web-ttl/,
  },

  'PUT /v1/operator/federation/invitation': {
    path: '/v1/operator/federation/invitation',
    rules: OPERATOR_WRITE,
    shown: /isthmus-invitation/,
  },
  'GET /v1/operator/federation/invitations': {
    path: '/v1/operator/federation/invitations',
    rules: OPERATOR_READ,
  },
  'DELETE /v1/operator/federation/invitation/:id': {
    path: '/v1/operator/federation/invitation/none',
    rules: OPERATOR_WRITE,
    status: 404,
  },

  'GET /v1/internal/addresses/:service': {
    path: '/v1/internal/addresses/web',
    rules: WEB_SEEN,
    hidden: EMPTY_LIST,
    shown: /"n1"/,
  },
  'GET /v1/internal/explain': { path: '/v1/internal/explain?source=api&destination=web', rules: WEB },
  'GET /v1/internal/links': { path: '/v1/internal/links', rules: OPERATOR_READ },
  'GET /v1/internal/query/:query/forecast': { path: '/v1/internal/query/q/forecast', rules: QUERY, shown: /"q"/ },
  'GET /v1/internal/autonomy': { path: '/v1/internal/autonomy', rules: OPERATOR_READ, shown: /"Limits"/ },
  'GET /v1/internal/replication': { path: '/v1/internal/replication', rules: OPERATOR_READ },
  'PUT /v1/internal/replication/accept-source': {
    path: '/v1/internal/replication/accept-source?kind=config-entries',
    rules: OPERATOR_WRITE,
    status: 404,
  },
  'GET /v1/internal/sidecar': { path: '/v1/internal/sidecar?sidecar-for=web', rules: WEB_WRITE },
  'PUT /v1/internal/sidecar/:session/ack': {
    path: '/v1/internal/sidecar/none/ack?version=1',
    unchecked: 'the session’s ID is known to whoever opened it alone',
    status: 404,
  },
  'GET /v1/internal/ui/nodes': {
    path: '/v1/internal/ui/nodes',
    rules: WEB_SEEN,
    hidden: EMPTY_LIST,
    shown: /"n1".*"web"/,
  },
  'GET /v1/internal/ui/service-topology/*service': {
    path: '/v1/internal/ui/service-topology/web?kind=tcp',
    unchecked: 'it is not offered',
    status: 404,
  },
  'GET /v1/internal/ui/services': {
    path: '/v1/internal/ui/services',
    rules: WEB,
    hidden: EMPTY_LIST,
    shown: /"web"/,
  },

  'GET /v1/kv/*key': { path: '/v1/kv/kept', rules: 'key "kept" { policy = "read" }', shown: /"kept"/ },
  'PUT /v1/kv/*key': { path: '/v1/kv/made', body: {}, rules: 'key "made" { policy = "write" }' },
  'DELETE /v1/kv/*key': { path: '/v1/kv/doomed', rules: 'key_prefix "doo" { policy = "write" }' },
  'GET /v1/operator/autopilot/health': { path: '/v1/operator/autopilot/health', rules: OPERATOR_READ },
  'GET /v1/operator/raft/configuration': { path: '/v1/operator/raft/configuration', rules: OPERATOR_READ },
  'GET /v1/query': { path: '/v1/query', rules: QUERY, hidden: EMPTY_LIST, shown: /"q"/ },
  'POST /v1/query': {
    path: '/v1/query',
    body: { Name: 'q-made', Service: { Service: 'web' } },
    rules: QUERY_WRITE,
  },
  'GET /v1/query/:query': { path: '/v1/query/{query}', rules: QUERY, shown: /"q"/ },
  'PUT /v1/query/:query': {
    path: '/v1/query/{query}',
    body: { Name: 'q', Service: { Service: 'web' } },
    rules: QUERY_WRITE,
  },
  'DELETE /v1/query/:query': { path: '/v1/query/{doomedQuery}', rules: QUERY_WRITE },
  'GET /v1/query/:query/execute': {
    path: '/v1/query/q/execute',
    rules: WEB_SEEN,
    hidden: /"Nodes":\[\]/,
    shown: /"n1"/,
  },
  'GET /v1/query/:query/explain': { path: '/v1/query/q/explain', rules: QUERY, shown: /"q"/ },
  'PUT /v1/session/create': { path: '/v1/session/create', rules: SESSION_WRITE, shown: /"ID"/ },
  'PUT /v1/session/destroy/*session': { path: '/v1/session/destroy/{doomedSession}', rules: SESSION_WRITE },
  'PUT /v1/session/renew/*session': { path: '/v1/session/renew/{session}', rules: SESSION_WRITE, shown: /"n1"/ },
  'GET /v1/session/info/*session': {
    path: '/v1/session/info/{session}',
    rules: SESSION,
    hidden: EMPTY_LIST,
    shown: /"n1"/,
  },
  'GET /v1/session/node/*node': { path: '/v1/session/node/n1', rules: SESSION, hidden: EMPTY_LIST, shown: /"n1"/ },
  'GET /v1/session/list': { path: '/v1/session/list', rules: SESSION, hidden: EMPTY_LIST, shown: /"n1"/ },
  'GET /v1/snapshot': { path: '/v1/snapshot', management: true },
  'PUT /v1/snapshot': { path: '/v1/snapshot', management: true, status: 500, shown: /the snapshot is damaged/ },
  'GET /v1/status/leader': { path: '/v1/status/leader', shown: /127\.0\.0\.1/ },
  'GET /v1/status/peers': { path: '/v1/status/peers', shown: /127\.0\.0\.1/ },
  'PUT /v1/txn': {
    path: '/v1/txn',
    body: [{ KV: { Verb: 'get', Key: 'kept' } }],
    rules: 'key "kept" { policy = "read" }',
    hidden: /"Results":\[\]/,
    shown: /"kept"/,
  },
};
