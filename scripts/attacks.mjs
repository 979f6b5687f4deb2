/**
 * The attacks that Isthmus must hold against, each tried by a test on running processes or on real connections. This is
 * the one table of them: `npm run attack` runs the tests and prints it; `npm test` ends with how many held.
 * @typedef {object} Attack
 * @property {string} who who attacks, as in SECURITY.md
 * @property {string} attack
 * @property {string} tried
 * @property {string} file
 * @property {string} title of the test, or what all of its tests have in their titles
 */

const LAN = 'anyone on the network';
const JOINER = 'holder of an invitation';
const AGENT = 'client agent';
const OTHER = 'another datacenter';
const TOKEN = 'holder of a token';
const SERVICE = 'service';
const BROWSER = "a visitor's browser";
const MACHINE = 'the machine';

/** @type {readonly (readonly [who: string, attack: string, tried: string, file: string, title: string])[]} */
const ROWS = [
  [
    JOINER,
    'An invitation is used for another name',
    'the same secret and key again as dc1, dc2, DC1; a fresh one as DC1, ../x, *, web%20',
    'test/e2e/secure.test.ts',
    'is a promise about one name',
  ],
  [
    JOINER,
    'An invitation is used twice, changed, late or revoked',
    'by a second datacenter; with another fingerprint; after its end',
    'test/e2e/secure.test.ts',
    'is good once',
  ],
  [
    JOINER,
    'An invitation that was changed leads elsewhere',
    'damaged text; a forged fingerprint of the root',
    'test/e2e/secure.test.ts',
    'that was changed leads nowhere',
  ],
  [
    SERVICE,
    'A name in another spelling passes a deny',
    'a certificate that says WEB, against a deny for web',
    'test/faults/bad-input.test.ts',
    'a deny holds for a certificate that spells the name in another case',
  ],
  [
    LAN,
    'A name that is none leads somewhere',
    'web%20, *, .., control characters, in services, nodes, tags',
    'test/faults/dns-floods.test.ts',
    'has no service, node or tag',
  ],
  [
    AGENT,
    'A living node is taken by its name and ID',
    'session, deregistration and a server of the same name',
    'test/e2e/node-identity.test.ts',
    'takes no living node',
  ],
  [
    AGENT,
    'A node that is away is taken',
    'its name and ID with another key',
    'test/e2e/node-identity.test.ts',
    'takes no node that is away',
  ],
  [
    OTHER,
    "The place of another datacenter's server is taken by its node ID",
    'a Hello with it, 500 more Hellos, then gone',
    'test/faults/attacks.test.ts',
    "takes the place of another one's server",
  ],
  [
    OTHER,
    'A Hello in the name of another datacenter',
    'a server of dc3 that says dc2',
    'test/faults/attacks.test.ts',
    'a Hello in the name of another datacenter is refused',
  ],
  [
    OTHER,
    'Servers are invented, to be dialled and remembered',
    'thousands of addresses, servers, Hellos on one link',
    'src/federation/hostile-links.test.ts',
    'is few dialled addresses',
  ],
  [
    LAN,
    'A method of the server port is called without the role for it',
    'every method by no certificate, client agents, servers elsewhere and here',
    'test/integration/role-table.test.ts',
    'with access control ',
  ],
  [
    LAN,
    'The same, at a running server with its own files of certificates',
    'every method by each of them, without access control',
    'test/e2e/role-matrix.test.ts',
    'gets from a running server what its role allows',
  ],
  [
    AGENT,
    "A client agent's certificate takes the keys of the mesh",
    'a snapshot, invitations, the CA, an intermediate, a link',
    'test/e2e/roles.test.ts',
    'its certificate opens nothing of that',
  ],
  [
    OTHER,
    'Private keys are found outside of their datacenter',
    'in stores, on the WAN, in logs, answers and snapshots',
    'test/faults/secrets.test.ts',
    'are in no other store',
  ],
  [
    TOKEN,
    'A check runs a command on the machine of an agent',
    'by the check, the service, the sidecar and the catalog; as a script, in a container, beside a URL',
    'test/e2e/checks.test.ts',
    'are run for no one unless the operator allows it',
  ],
  [
    TOKEN,
    'A check fetches what only the machine may read',
    'link-local addresses and a cloud’s metadata, in every spelling, by TCP, TLS, UDP, gRPC and HTTP/2',
    'src/agent/local/checks/network-probes.test.ts',
    'connects to no link-local address',
  ],
  [
    TOKEN,
    'A jwt-provider entry makes sidecars fetch what only their machines may read',
    'link-local addresses and a cloud’s metadata, in every spelling, and as the address of a name',
    'src/sidecar/inbound/key-source.test.ts',
    'are not fetched from a link-local address or the metadata of a cloud',
  ],
  [
    TOKEN,
    'A proxy is registered for a service without the right to it',
    'at the agent and in the catalog',
    'test/faults/attacks.test.ts',
    'registers no proxy for it',
  ],
  [
    TOKEN,
    'Another way to register, another kind of reference',
    'every way × every reference',
    'test/integration/registering.test.ts',
    'takes the right to it',
  ],
  [
    OTHER,
    "A datacenter signs another one's services",
    'dc2 signs dc1/web, to built-in sidecars',
    'test/faults/bad-input.test.ts',
    'names services of its own datacenter alone',
  ],
  [
    OTHER,
    "A datacenter signs another one's servers",
    'a certificate of server.dc1 by the authority of dc3',
    'test/faults/attacks.test.ts',
    'makes no certificate for another datacenter',
  ],
  [
    OTHER,
    "A stolen key of a server renews the datacenter's authority",
    'a renewal without the proof',
    'test/faults/attacks.test.ts',
    "gets no longer life with a server's key alone",
  ],
  [
    LAN,
    'Silent connections of one address shut out the others: server port, HTTP',
    '520 of them, opened again at once; 100 others are served',
    'test/faults/attacks.test.ts',
    'leave the others served',
  ],
  [
    LAN,
    'The same, DNS over TCP',
    '1,100 of one address',
    'test/faults/dns-floods.test.ts',
    'serves the connections of others while one address floods it',
  ],
  [
    SERVICE,
    'The same, sidecars: handshakes of an address, tunnels of an identity',
    'silent connections, tunnels of a denied identity',
    'src/sidecar/inbound/flood.test.ts',
    'a flood ',
  ],
  [
    SERVICE,
    'A request gets past permissions by its path',
    'dots, escapes, back slashes, absolute forms, fragments',
    'src/sidecar/inbound/smuggling.test.ts',
    'have no path that an application reads as another one',
  ],
  [
    SERVICE,
    'A request is hidden in another one',
    'lengths and chunks, folded lines, two hosts, upgrades, tunnels',
    'src/sidecar/inbound/smuggling.test.ts',
    'brings no other request to the application',
  ],
  [
    SERVICE,
    'A caller names itself as another one to the application',
    'the header of callers, with underscores, in trailers, over HTTP/2',
    'src/sidecar/inbound/smuggling.test.ts',
    'names its caller once',
  ],
  [
    SERVICE,
    'A forged token',
    'none, the key as a secret, a key of its own, an unknown mark',
    'src/sidecar/inbound/tokens.test.ts',
    'is not let through with a forged one',
  ],
  [
    LAN,
    'Any sequence of frames and messages: server port, xDS, tunnels',
    'broken, unfinished and crossed ones; the heap stays flat',
    'test/fuzz/frames.test.ts',
    'any sequence of',
  ],
  [
    SERVICE,
    'The same, at a running sidecar',
    '520 silent connections, opened again at once; tunnels of a denied identity',
    'test/faults/sidecar-floods.test.ts',
    'serves the others while',
  ],
  [
    MACHINE,
    'The disk is full, broken, read-only or beyond a quota',
    'writes, reads, leaves and DNS meanwhile, and after it healed',
    'test/faults/failing-disk.test.ts',
    'a disk that fails under a server',
  ],
  [
    MACHINE,
    'The store is gone, empty or foreign',
    'a start that would make a new authority',
    'test/faults/failing-disk.test.ts',
    'is never replaced by a new one',
  ],
  [
    LAN,
    'Memory is filled by messages that never end',
    '63 MiB each, and as large as a write may be',
    'test/faults/unfinished-messages.test.ts',
    'unfinished messages',
  ],
  [
    MACHINE,
    'The clock jumps',
    'leaves and certificates made while it was ten days ahead',
    'test/faults/clock-jumps.test.ts',
    'a clock that was ten days ahead',
  ],
  [
    LAN,
    'DNS answers flood a forged address',
    'large answers over UDP; many questions of one network',
    'test/faults/dns-floods.test.ts',
    'over UDP, and all of it over TCP',
  ],
  [
    BROWSER,
    'A page changes or reads something through the API',
    'foreign Origin, forms, DNS rebinding',
    'test/faults/attacks.test.ts',
    'changes nothing for a page of another origin',
  ],
  [
    TOKEN,
    'A check is led to another host, or to the metadata of a cloud',
    'a redirect; 169.254.169.254',
    'test/faults/attacks.test.ts',
    'and checks lead to no other host',
  ],
  [
    LAN,
    'A server that says nothing of TLS is open to the network',
    'plain text and no certificate, on each server port, from another machine',
    'test/e2e/protected-by-default.test.ts',
    'answers no other machine in plain text',
  ],
  [
    LAN,
    'A machine joins without an invitation',
    'a client agent and a datacenter that say nothing of TLS',
    'test/e2e/protected-by-default.test.ts',
    'with an invitation, and no other',
  ],
  [
    SERVICE,
    'A bad certificate is shown to a sidecar',
    'expired, of another trust domain, of a foreign root, none',
    'test/faults/bad-input.test.ts',
    'a client with',
  ],
  [
    TOKEN,
    "Another service's proxy is followed by xDS",
    'no token, a wrong one, the ID of another proxy, another ID on a stream that is served',
    'test/faults/hostile-envoys.test.ts',
    'get nothing',
  ],
  [
    SERVICE,
    'An Envoy wears the agent out',
    'rejections for ever, 6,000 messages, large metadata, 5,000 names that do not exist, never reading',
    'test/faults/hostile-envoys.test.ts',
    'one that ',
  ],
  [
    LAN,
    'Envoys are kept out: xDS',
    '20 streams of a proxy, 1,500 silent connections of their address',
    'test/faults/hostile-envoys.test.ts',
    'keep no other out',
  ],
  [
    LAN,
    'Memory is filled by messages that never end: xDS',
    '40 of 4 MiB, on ten connections',
    'test/faults/hostile-envoys.test.ts',
    'what unfinished messages hold is bounded',
  ],
  [
    LAN,
    'Garbage, smuggled and oversized requests',
    'on every port',
    'test/faults/bad-input.test.ts',
    'malformed and oversized requests are answered',
  ],
];

/** @type {readonly Attack[]} */
export const ATTACKS = ROWS.map(([who, attack, tried, file, title]) => ({ who, attack, tried, file, title }));

/**
 * What became of each, by a report of vitest's `json` reporter: held when all of its tests passed. Those that the
 * report knows nothing of are left out.
 * @param {{ testResults: { name: string, assertionResults: { fullName: string, status: string }[] }[] }} report
 * @returns {{ attack: Attack, result: 'held' | 'FAILED' | 'skipped', tests: number }[]}
 */
export function resultsOf(report) {
  return ATTACKS.flatMap((attack) => {
    const file = report.testResults.find(({ name }) => name.endsWith(`/${attack.file}`));
    if (file === undefined) return [];
    const tests = file.assertionResults.filter(({ fullName }) => fullName.includes(attack.title));
    const all = (/** @type {string[]} */ ...statuses) => tests.every(({ status }) => statuses.includes(status));
    const skipped = tests.length > 0 && all('skipped', 'pending');
    const held = tests.length > 0 && all('passed', 'skipped', 'pending');
    return [{ attack, result: skipped ? 'skipped' : held ? 'held' : 'FAILED', tests: tests.length }];
  });
}
