import { createHash } from 'node:crypto';
import packet from 'dns-packet';
import { describe, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { parseRules } from '../../src/domain/acl/rules.ts';
import { formatInvitation, parseInvitation } from '../../src/domain/enrolment/invitation-text.ts';
import { readAddresses, readRequest, writeReply } from '../../src/edge/dns/packet.ts';
import { parseBody } from '../../src/edge/http/decode.ts';
import { Query } from '../../src/edge/http/query.ts';
import { parseSimpleGet } from '../../src/edge/http/simple-get.ts';
import { tryParseDuration } from '../../src/lib/duration.ts';
import { hasCode } from '../../src/lib/errors.ts';
import { toPlain } from '../../src/lib/hcl/node.ts';
import { parseHcl } from '../../src/lib/hcl/parser.ts';
import { intentionFilter, serviceInstanceFilter } from '../../src/model/filter/schemas.ts';
import { tryParseSpiffe } from '../../src/model/spiffe.ts';
import { parseChain } from '../../src/pki/certificate.ts';
import { createCsr, parseCsr } from '../../src/pki/csr.ts';
import { createIssuer, createRoot } from '../../src/pki/issuer.ts';
import { generateLeafKey, spkiOf } from '../../src/pki/keys.ts';
import { FUZZ_TIMEOUT_MS, type FuzzTarget, fuzz } from './run.ts';

/** Each function that reads untrusted bytes and texts. */

const CONFIG = `
# a server
datacenter = "dc1"
node_name = "n1"
server = true
ports { http = 8500, dns = -1 }
retry_join_wan = ["10.0.0.1", "10.0.0.2:8302"]
acl = { enabled = true default_policy = "deny" tokens { agent = "b1a7c0de-0000-4000-8000-000000000001" } }
audit { enabled = true sink "a" { type = "file" path = "/tmp/a.json" rotate_bytes = 1000 } }
service { name = "web" port = 80 check { id = "c" http = "http://localhost" interval = "10s" }
  connect { sidecar_service {} } }
node_meta { a = "b" }
domain = <<TEXT
several
lines
TEXT
/* the end */
`;
const JSON_CONFIG = JSON.stringify({
  datacenter: 'dc1',
  ports: { http: 0, https: -1 },
  services: [{ name: 'web', port: 80, tags: ['a'], meta: { a: 'b' }, checks: [{ ttl: '10s' }] }],
  connect: { ca_config: { leaf_cert_ttl: '72h' } },
  limits: { http_max_conns_per_client: 100 },
  dns_config: { service_ttl: { '*': '5s' } },
});
const RULES = [
  'service "web" { policy = "write" intentions = "read" }\nservice_prefix "" { policy = "read" }\nacl = "read"',
  'key_prefix "a/" { policy = "list" } node "n" { policy = "deny" } keyring = "read" operator = "write"',
  '{"service":{"web":{"policy":"write"}},"query_prefix":{"":{"policy":"read"}},"acl":"read"}',
];
const FILTERS = [
  'Service.Service == "web" and (Node.Meta.env != prod or "a" in Service.Tags) and not Checks is empty',
  'Service.Service matches "^w[a-z]{2,5}(b|c)*$" or Service.Meta["a b"] == `raw`',
  'Service.Port == 80 and Service.Connect.Native == false',
  'SourceName == "a" and Precedence == 9',
];
const WORDS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  '\\u0000',
  '<<T\n',
  '/*',
  '*/',
  '#',
  '= ',
  '\n',
  '${',
  '\\',
  '1e999',
  'null',
  '-',
];
const NAMES = ['__proto__', 'constructor', 'policy', 'toString'];
const HCL_WORDS = [...WORDS, ...NAMES];
const FILTER_WORDS = [
  ...HCL_WORDS,
  ...[' and ', ' or ', 'not ', ' in ', ' matches ', '(', ')', '`', '.', '(?i)', '{1000}', '+', '*?', '[^', '\\pL'],
];

const INVITATION = {
  kind: 'datacenter',
  datacenter: 'dc1',
  domain: 'consul',
  addresses: ['10.0.0.1:8302', '10.0.0.2:8302'],
  fingerprint: 'a'.repeat(64),
  secret: 'b1a7c0de',
  expiresAt: 1_800_000_000_000,
} as const;

const key = generateLeafKey();
const trustDomain = '11111111-2222-3333-4444-555555555555.consul';
const uri = `spiffe://${trustDomain}/ns/default/dc/dc1/svc/web`;
const csr = createCsr(key, { uri, commonName: 'web' });
const begin = Date.parse('2026-01-01T00:00:00Z');
const root = createRoot({
  key,
  commonName: 'r',
  uri: `spiffe://${trustDomain}`,
  notBefore: begin,
  notAfter: begin + 1e9,
});
const leaf = createIssuer(root, key).signLeaf({
  spki: spkiOf(key),
  uri,
  commonName: 'web',
  notBefore: begin,
  notAfter: begin + 1e8,
}).pem;

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
}

function pemOf(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function question(name: string, type: packet.RecordType): Buffer {
  const opt = { type: 'OPT', name: '.', udpPayloadSize: 1_232, flags: 0 } as unknown as packet.Answer;
  return packet.encode({ type: 'query', id: 7, flags: 0x100, questions: [{ name, type }], additionals: [opt] });
}

const REPLY = {
  transport: 'udp',
  recursionAvailable: false,
  udpAnswerLimit: 3,
  udpMaxSize: 1_232,
  enableTruncate: true,
  compress: true,
} as const;

const instance = {
  Node: { ID: '', Node: 'n1', Address: '10.0.0.1', Datacenter: 'dc1', TaggedAddresses: {}, Meta: { env: 'dev' } },
  Service: { ID: 'web', Service: 'web', Tags: ['a'], Meta: {}, Port: 80, Address: '', Connect: { Native: false } },
  Checks: [],
} as never;
const intention = { SourceName: 'a', DestinationName: 'b', Precedence: 9, Action: 'allow', Meta: {} } as never;

function load(text: string, format: 'hcl' | 'json'): void {
  const eth0 = { name: 'eth0', address: '10.0.0.1', family: 4, internal: false } as const;
  loadConfig(
    { flags: { 'data-dir': ['/tmp/x'] }, sources: [{ kind: 'file', path: `f.${format}` }], dev: false, format },
    { readFile: () => text, listDir: () => undefined, hostname: () => 'h', interfaces: () => [eth0] },
  );
}

/** A filter refuses with one code, whatever is wrong. */
function filter(text: string): void {
  for (const run of [
    () => serviceInstanceFilter.apply(text, [instance]),
    () => intentionFilter.apply(text, [intention]),
  ]) {
    try {
      run();
    } catch (error) {
      if (!hasCode(error, 'rejected')) throw error;
    }
  }
}

function answerDns(input: Buffer): void {
  const request = readRequest(input);
  if (request === undefined || Buffer.isBuffer(request)) return;
  const answer = { name: request.name, ttl: 0, data: { type: 'A', address: '10.0.0.1' } } as const;
  writeReply(request, { rcode: 0, authoritative: true, answers: [answer] }, REPLY);
}

const TARGETS: readonly FuzzTarget[] = [
  {
    name: 'HCL',
    corpus: [CONFIG, ...RULES],
    dictionary: HCL_WORDS,
    count: 2_000,
    run: (input) => void toPlain(parseHcl(input.toString(), 'f')),
  },
  {
    name: 'configuration in HCL',
    corpus: [CONFIG],
    dictionary: HCL_WORDS,
    count: 500,
    run: (input) => load(input.toString(), 'hcl'),
  },
  {
    name: 'configuration in JSON',
    corpus: [JSON_CONFIG],
    dictionary: HCL_WORDS,
    count: 1_000,
    run: (input) => load(input.toString(), 'json'),
  },
  {
    name: 'ACL rules',
    corpus: RULES,
    dictionary: HCL_WORDS,
    count: 2_000,
    run: (input) => void parseRules(input.toString()),
  },
  {
    name: 'filter expressions',
    corpus: FILTERS,
    dictionary: FILTER_WORDS,
    count: 2_000,
    run: (input) => filter(input.toString()),
  },
  {
    name: 'invitations',
    corpus: [formatInvitation(INVITATION)],
    dictionary: ['.', 'v2', '=', '\n'],
    count: 1_000,
    run: (input) => void parseInvitation(input.toString()),
  },
  {
    name: 'contents of invitations',
    corpus: [Buffer.from(formatInvitation(INVITATION).split('.')[1] ?? '', 'base64url')],
    dictionary: WORDS,
    count: 2_000,
    run(input) {
      const body = `isthmus-invitation-v1.${input.toString('base64url')}`;
      parseInvitation(`${body}.${createHash('sha256').update(body).digest('hex').slice(0, 8)}`);
    },
  },
  {
    name: 'signing requests, DER',
    corpus: [derOf(csr)],
    count: 1_500,
    run: (input) => void parseCsr(pemOf('CERTIFICATE REQUEST', input)),
  },
  {
    name: 'signing requests, PEM',
    corpus: [csr],
    dictionary: ['-----BEGIN ', '-----END ', '=', '\n'],
    count: 500,
    run: (input) => void parseCsr(input.toString('latin1')),
  },
  {
    name: 'certificates',
    corpus: [derOf(leaf), derOf(root)],
    count: 2_000,
    run: (input) => void parseChain(pemOf('CERTIFICATE', input)),
  },
  {
    name: 'DNS questions',
    corpus: [
      question('web.service.consul', 'SRV'),
      question('n1.node.dc1.consul', 'A'),
      question('1.0.0.10.in-addr.arpa', 'PTR'),
    ],
    dictionary: ['\u00c0\u000c', '\u00c0\u0000', '?', '\u0000'],
    count: 3_000,
    run: answerDns,
  },
  {
    name: 'DNS answers of recursors',
    corpus: [
      packet.encode({
        type: 'response',
        id: 1,
        answers: [
          { type: 'A', name: 'a.b', ttl: 1, data: '1.2.3.4' },
          { type: 'CNAME', name: 'a.b', ttl: 1, data: 'c.d' },
        ],
      }),
    ],
    dictionary: ['\u00c0\u000c', '\u00c0\u0000'],
    count: 2_000,
    run: (input) => void readAddresses(input),
  },
  {
    name: 'JSON bodies',
    corpus: [JSON_CONFIG, '{"a":[1,2,{"b":null}],"c":"\\u00e4"}'],
    dictionary: HCL_WORDS,
    count: 2_000,
    run: (input) => void parseBody(input),
  },
  {
    name: 'query strings',
    corpus: ['dc=dc1&index=5&wait=10s&stale&near=_agent&node-meta=a:b&filter=Node+%3D%3D+%22a%22'],
    dictionary: ['%', '%00', '%ff', '&', '=', '+'],
    count: 2_000,
    run: (input) => void new Query(input.toString('latin1')).entries(),
  },
  {
    name: 'simple requests',
    corpus: ['GET /v1/catalog/nodes?a=b HTTP/1.1\r\nHost: x\r\nX-Consul-Token: t\r\nConnection: keep-alive\r\n\r\n'],
    dictionary: ['\r\n', ' ', ':', 'Transfer-Encoding: chunked\r\n', 'Content-Length: 5\r\n'],
    count: 3_000,
    run: (input) => void parseSimpleGet(input.toString('latin1')),
  },
  {
    name: 'SPIFFE IDs',
    corpus: [uri, 'spiffe://x.consul/agent/client/dc/dc1/id/n1'],
    dictionary: ['%2F', '/', '//', '..', '?', '#', '@'],
    count: 2_000,
    run: (input) => void tryParseSpiffe(input.toString()),
  },
  {
    name: 'durations',
    corpus: ['72h', '1h15m30.5s', '10ms', '-5us'],
    dictionary: ['h', 'm', '.', '-', '9', 'µs'],
    count: 2_000,
    run: (input) => void tryParseDuration(input.toString()),
  },
];

describe('untrusted input is accepted or refused', () => {
  it.each(TARGETS)('$name', (target) => fuzz(target), FUZZ_TIMEOUT_MS);
});
