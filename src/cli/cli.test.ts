import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type Answers,
  fakeAgent,
  Refusal,
  runCommand as run,
  serve,
  stopFakeAgents,
} from '../../test/fakes/command-line.ts';

afterEach(stopFakeAgents);

interface Recorded {
  readonly args: readonly string[];
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const golden: readonly Recorded[] = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../test/conformance/golden/cli.json'), 'utf8'),
);

const member = (name: string, port: number, dc: string) => ({
  Name: name,
  Addr: '127.0.0.1',
  Port: port,
  Tags: {
    acls: '0',
    bootstrap: '1',
    build: '1.9.8:',
    dc,
    ft_fs: '1',
    ft_si: '1',
    id: '12173f9d-161e-4dab-162f-c6048842fae3',
    port: '20102',
    raft_vsn: '3',
    role: 'consul',
    segment: '',
    vsn: '2',
    vsn_max: '3',
    vsn_min: '2',
    wan_join_port: '20104',
  },
  Status: 1,
});
const node = (name: string, address: string, wan: string, id = '', meta: Record<string, string> = { rack: 'a' }) => ({
  ID: id,
  Node: name,
  Address: address,
  Datacenter: 'dc1',
  TaggedAddresses: id === '' ? { wan, lan: address } : { lan: address, lan_ipv4: address, wan, wan_ipv4: wan },
  Meta: meta,
});
const server1 = node('dc1-s1', '127.0.0.1', '127.0.0.1', '12173f9d-161e-4dab-162f-c6048842fae3', {
  'consul-network-segment': '',
});
const nodes = [server1, node('n1', '10.0.0.1', '198.51.100.1'), node('n2', '10.0.0.2', '198.51.100.2')];
const intention = (source: string, destination: string, action: string, precedence: number, id: string) => ({
  ID: id,
  CreatedAt: '2026-11-23T02:18:03.1Z',
  SourceNS: 'default',
  SourceName: source,
  DestinationNS: 'default',
  DestinationName: destination,
  SourceType: 'consul',
  Action: action,
  Precedence: precedence,
});
const allow = intention('web', 'db', 'allow', 9, '17e64bf0-7726-4253-309d-cc968a0ea232');
const deny = intention('*', '*', 'deny', 5, 'e5227a26-d000-d5bf-865f-667db62574c4');
const create = 'POST /v1/connect/intentions';

/** What the fake agent answers to each recorded command; `nth` is for one that was recorded more than once. */
const ANSWERS: readonly { readonly command: string; readonly nth?: number; readonly answers: Answers }[] = [
  { command: 'members', answers: { 'GET /v1/agent/members?segment=_all': [member('dc1-s1', 20103, 'dc1')] } },
  {
    command: 'members -wan',
    answers: {
      'GET /v1/agent/members?segment=_all&wan=1': [
        member('dc2-s1.dc2', 20204, 'dc2'),
        member('dc1-s1.dc1', 20104, 'dc1'),
      ],
    },
  },
  { command: 'members -detailed', answers: { 'GET /v1/agent/members?segment=_all': [member('dc1-s1', 20103, 'dc1')] } },
  { command: 'catalog datacenters', answers: { 'GET /v1/catalog/datacenters': ['dc1', 'dc2'] } },
  { command: 'catalog nodes', answers: { 'GET /v1/catalog/nodes': nodes } },
  { command: 'catalog nodes -detailed', answers: { 'GET /v1/catalog/nodes': nodes } },
  {
    command: 'catalog services',
    answers: { 'GET /v1/catalog/services': { consul: [], 'db-sidecar-proxy': [], db: ['primary'] } },
  },
  {
    command: 'catalog services -tags',
    answers: { 'GET /v1/catalog/services': { consul: [], db: ['primary'], 'db-sidecar-proxy': [] } },
  },
  {
    command: 'catalog nodes -service=db',
    answers: {
      'GET /v1/catalog/service/db': [
        { ...nodes[1], NodeMeta: null, ServiceID: 'db-1' },
        { ...nodes[2], NodeMeta: null, ServiceID: 'db-2' },
      ],
    },
  },
  {
    command: 'catalog services -datacenter=dc2',
    answers: { 'GET /v1/catalog/services?dc=dc2': { cache: [], consul: [], db: [] } },
  },
  { command: 'services register DIR/svc.json', answers: { 'PUT /v1/agent/service/register': '' } },
  { command: 'intention create -deny web db', nth: 0, answers: { [create]: { ID: 'x' } } },
  {
    command: 'intention create -deny web db',
    nth: 1,
    answers: { [create]: new Refusal(500, 'Sources[1] defines "web" more than once') },
  },
  {
    command: 'intention create -allow -replace web db',
    answers: {
      'GET /v1/connect/intentions/exact?destination=db&source=web': allow,
      [`PUT /v1/connect/intentions/${allow.ID}`]: { ID: allow.ID },
    },
  },
  { command: 'intention create -deny * *', answers: { [create]: { ID: 'x' } } },
  {
    command: 'intention check web db',
    answers: { 'GET /v1/connect/intentions/check?destination=db&source=web': { Allowed: true } },
  },
  {
    command: 'intention check zed db',
    answers: { 'GET /v1/connect/intentions/check?destination=db&source=zed': { Allowed: false } },
  },
  {
    command: 'intention match db',
    answers: { 'GET /v1/connect/intentions/match?by=destination&name=db': { db: [allow, deny] } },
  },
  {
    command: 'intention match -source web',
    answers: { 'GET /v1/connect/intentions/match?by=source&name=web': { web: [allow, deny] } },
  },
  { command: 'intention list', answers: { 'GET /v1/connect/intentions': [allow, deny] } },
  {
    command: 'intention get web db',
    answers: { 'GET /v1/connect/intentions/exact?destination=db&source=web': allow },
  },
  {
    command: 'intention get no pe',
    answers: {
      'GET /v1/connect/intentions/exact?destination=pe&source=no': new Refusal(404, 'Intention not found'),
    },
  },
  {
    command: 'intention delete web db',
    nth: 0,
    answers: { 'DELETE /v1/connect/intentions/exact?destination=db&source=web': true },
  },
  { command: 'intention create onlyone', answers: {} },
  {
    command: 'connect ca get-config',
    answers: {
      'GET /v1/connect/ca/configuration': {
        Provider: 'consul',
        Config: { IntermediateCertTTL: '8760h', LeafCertTTL: '72h', RotationPeriod: '2160h' },
        State: null,
        ForceWithoutCrossSigning: false,
        CreateIndex: 5,
        ModifyIndex: 5,
      },
    },
  },
  { command: 'connect ca set-config -config-file=DIR/absent', answers: {} },
  { command: 'config write DIR/sd.json', answers: { 'PUT /v1/config': true } },
  {
    command: 'config list -kind service-defaults',
    answers: { 'GET /v1/config/service-defaults': [{ Kind: 'service-defaults', Name: 'web' }] },
  },
  {
    command: 'config read -kind service-defaults -name web',
    answers: {
      'GET /v1/config/service-defaults/web': {
        Kind: 'service-defaults',
        Name: 'web',
        Protocol: 'http',
        MeshGateway: {},
        Expose: {},
        CreateIndex: 29,
        ModifyIndex: 29,
      },
    },
  },
  {
    command: 'config read -kind service-defaults -name none',
    answers: {
      'GET /v1/config/service-defaults/none': new Refusal(
        404,
        'Config entry not found for "service-defaults" / "none"',
      ),
    },
  },
  {
    command: 'config delete -kind service-defaults -name web',
    answers: { 'DELETE /v1/config/service-defaults/web': {} },
  },
  {
    command: 'services deregister -id=web',
    answers: { 'GET /v1/agent/service/web': { ID: 'web' }, 'PUT /v1/agent/service/deregister/web': '' },
  },
  {
    command: 'operator raft list-peers',
    answers: {
      'GET /v1/operator/raft/configuration': {
        Servers: [
          {
            ID: '12173f9d-161e-4dab-162f-c6048842fae3',
            Node: 'dc1-s1',
            Address: '127.0.0.1:20102',
            Leader: true,
            Voter: true,
            ProtocolVersion: '3',
          },
        ],
      },
    },
  },
  { command: 'reload', answers: { 'PUT /v1/agent/reload': '' } },
  {
    command: 'join 127.0.0.1:1',
    answers: {
      'PUT /v1/agent/join/127.0.0.1%3A1': new Refusal(
        500,
        '1 error occurred:\n\t* Failed to join 127.0.0.1: dial tcp 127.0.0.1:1: connect: connection refused\n\n',
      ),
    },
  },
  {
    command: 'force-leave absent',
    answers: {
      'PUT /v1/agent/force-leave/absent': new Refusal(500, "agent: No node found with name 'absent'"),
    },
  },
  { command: 'validate DIR/absent', answers: {} },
];

const bare = (args: readonly string[]): string => args.filter((arg) => arg !== '-http-addr=…').join(' ');

describe('commands print what was recorded', () => {
  it.each(ANSWERS)('$command ($nth)', async ({ command, nth = 0, answers }) => {
    const recorded = golden.filter((entry) => bare(entry.args) === command)[nth];
    expect(recorded, command).toBeDefined();
    const agent = await fakeAgent(answers);
    const files = {
      'DIR/svc.json': '{"service": {"name": "web", "port": 80}}',
      'DIR/sd.json': '{"Kind": "service-defaults", "Name": "web", "Protocol": "http"}',
    };
    const args = recorded!.args.map((arg) => (arg === '-http-addr=…' ? `-http-addr=${agent.address}` : arg));
    const { status, stdout, stderr } = await run(args, { files });
    expect({ status, stdout, stderr }).toEqual({
      status: recorded!.status,
      stdout: recorded!.stdout,
      stderr: recorded!.stderr,
    });
  });

  it('no agent listens', async () => {
    const recorded = golden.find((entry) => entry.args.includes('-http-addr=127.0.0.1:1'))!;
    const { status, stdout, stderr } = await run(recorded.args);
    expect({ args: recorded.args, status, stdout, stderr }).toEqual(recorded);
    const forPeople = await run(recorded.args, { errIsTerminal: true });
    expect(forPeople.stderr).toBe(
      `${recorded.stderr}\nNo agent listens there. Start one with "isthmus agent -dev", or name its address with ` +
        `-http-addr.\n`,
    );
  });

  it('a proxy without the name of a service', async () => {
    const { status, stderr } = await run(['connect', 'proxy']);
    expect(status).toBe(1);
    expect(stderr).toBe(golden.find((entry) => entry.args[1] === 'proxy')!.stderr);
  });
});

describe('the command line', () => {
  it.each([
    [['members', '-wan=maybe'], 'invalid boolean value "maybe" for -wan: parse error'],
    [['members', '-status'], 'flag needs an argument: -status'],
    [['services', 'register', '-port=x'], 'invalid value "x" for flag -port: parse error'],
    [['members', '-format=xml'], 'invalid value "xml" for flag -format: must be pretty or json'],
    [['members', '---wan'], 'bad flag syntax: ---wan'],
    [['agent', '-http-port=x', '-dev'], 'flag -http-port: must be a whole number from -1 to 65535, not "x"'],
    [['validate'], 'Must specify at least one config file or directory'],
    [['connect', 'proxy', '-service=a', '-listen=:1'], '-listen and -service-addr go together'],
    [['connect', 'proxy', '-service=a', '-upstream=b'], 'invalid value "b" for flag -upstream'],
    [['members', '-http-addr=ftp://x'], 'address "ftp://x" is neither host:port'],
    [['intention', 'create', '-allow', '-deny', 'a', 'b'], 'Only one of -allow or -deny may be specified.'],
  ])('%j', async (args, text) => {
    const { status, stderr } = await run(args);
    expect(status).toBe(1);
    expect(stderr).toContain(text);
  });

  it('takes flags behind arguments, with two dashes, with and without "="', async () => {
    const agent = await fakeAgent({
      'GET /v1/connect/intentions/check?dc=dc2&destination=b&destination-dc=dc3&source=a&source-dc=dc1&stale=': {
        Allowed: true,
      },
    });
    const args = ['intention', 'check', 'a@dc1', '--http-addr', agent.address, 'b', '-stale', '--datacenter=dc2'];
    expect(await run([...args, '-destination-datacenter', 'dc3'])).toMatchObject({ status: 0, stdout: 'Allowed\n' });
  });

  it('prints JSON', async () => {
    const agent = await fakeAgent({ 'GET /v1/catalog/datacenters': ['dc1'] });
    const { stdout } = await run(['catalog', 'datacenters', '-format=json'], {
      env: { ISTHMUS_HTTP_ADDR: agent.address },
    });
    expect(JSON.parse(stdout)).toEqual(['dc1']);
  });

  it('sends a definition with the names of the API', async () => {
    const agent = await fakeAgent({ 'PUT /v1/agent/service/register': '' });
    const files = { 'a.hcl': 'service { name = "web" connect { sidecar_service {} } }\nservices { name = "db" }' };
    const { stdout } = await run(['services', 'register', `-http-addr=${agent.address}`, 'a.hcl'], { files });
    expect(stdout).toBe('Registered service: web\nRegistered service: db\n');
    expect(agent.seen[0]).toContain('{"Name":"web","Connect":{"SidecarService":{}}}');
  });

  it('explains a verdict', async () => {
    const agent = await fakeAgent({
      'GET /v1/internal/explain?destination=db&source=web': {
        Source: 'web',
        Destination: 'db',
        DestinationDatacenter: 'dc2',
        Allowed: false,
        Reason: 'The intention web => db denies it (precedence 9, revision 4).',
        Rule: { source: 'web', destination: 'db', action: 'deny', precedence: 9, revision: 4 },
        DefaultAction: 'allow',
        Revision: 4,
        Datacenter: 'dc2',
        Shadowed: [{ source: '*', destination: 'db', action: 'allow', precedence: 8, revision: 3 }],
        ToAllow: 'isthmus intention create -allow -replace web db',
      },
    });
    const { status, stdout } = await run(['intention', 'explain', `-http-addr=${agent.address}`, 'web', 'db']);
    expect(status).toBe(1);
    expect(stdout).toBe(
      [
        'Connection:   web => db@dc2',
        'Verdict:      Denied',
        'Reason:       The intention web => db denies it (precedence 9, revision 4).',
        'Rule:         web => db (deny), precedence 9, revision 4',
        'Behind it:    * => db (allow), precedence 8, revision 3',
        'Decided in:   dc2, revision 4',
        'To allow it:  isthmus intention create -allow -replace web db',
        '',
      ].join('\n'),
    );
  });

  it('tells a failed check from a denied one', async () => {
    expect((await run(['intention', 'check', '-http-addr=127.0.0.1:1', 'a', 'b'])).status).toBe(2);
  });
});

describe('connect ca rotate -watch', () => {
  const rotation = (phase: string, progress: number, moved: number, root = 'new') => ({
    Phase: phase,
    OldRootID: 'old',
    NewRootID: root,
    StartedAt: root === '' ? '' : '2026-01-01T00:00:00Z',
    Datacenters: [
      {
        Datacenter: 'dc2',
        RootIDs: [],
        ActiveRootID: 'new',
        Holders: 2,
        Pending: moved === 0 ? ['x'] : [],
        LeavesByRoot: {},
        ReportedAt: '',
      },
    ],
    Progress: progress,
    LeavesTotal: 4,
    LeavesMoved: moved,
    Holds: [],
  });

  async function rotating(states: readonly unknown[]): Promise<string> {
    let at = 0;
    return serve((request, response) => {
      if (request.method === 'PUT') {
        at = 1;
        response.end();
        return;
      }
      const index = Math.min(at, states.length - 1);
      if (at > 0) at++;
      response.setHeader('x-consul-index', String(index + 1)).end(JSON.stringify(states[index]));
    });
  }

  it('shows the progress until every certificate has moved', async () => {
    const states = [
      rotation('idle', 0, 0, ''),
      rotation('distributing', 0.1, 0),
      rotation('moving', 0.5, 2),
      rotation('draining', 1, 4),
    ];
    const address = await rotating(states);
    const { status, stdout, stderr } = await run(['connect', 'ca', 'rotate', '-watch', `-http-addr=${address}`]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      'Rotation started.',
      '[###---------------------------]  10%  distributing  0/4 certificates  dc2 waits for 1',
      '[###############---------------]  50%  moving  2/4 certificates',
      '[##############################] 100%  draining  4/4 certificates',
      'Done: 4 certificates are under root new.',
      'The old root is still trusted: it is removed shortly. See "isthmus connect ca rotate -status".',
      '',
    ]);
  });

  it.each([20, 40, 60, 80, 200])('stays in one line of a terminal of %d columns', async (width) => {
    const hold = { ...rotation('moving', 0.5, 2), Holds: ['dc3 was not heard of for an hour, and its agents neither'] };
    const address = await rotating([rotation('idle', 0, 0, ''), hold, rotation('draining', 1, 4)]);
    const args = ['connect', 'ca', 'rotate', '-watch', `-http-addr=${address}`];
    const { stdout } = await run(args, { outIsTerminal: true, outWidth: () => width });
    const lines = stdout
      .split('\r')
      .slice(1)
      .map((line) => line.split('\x1b[K')[0] ?? '');
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line.length).toBeLessThan(width);
    expect(lines[0]).toMatch(/50% {2}moving/);
    expect(lines[0]?.startsWith('[')).toBe(width > 100);
  });

  it('says so when one is under way, and starts none', async () => {
    const address = await rotating([rotation('moving', 0.5, 2), rotation('idle', 0, 0)]);
    const { status, stdout, stderr } = await run(['connect', 'ca', 'rotate', `-http-addr=${address}`]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^A rotation to the root new is under way \(moving\)\. Follow it with .* -force\.$/m);
  });

  it('goes away when interrupted, and says that the rotation goes on', async () => {
    const stop = new AbortController();
    const address = await rotating([rotation('idle', 0, 0, ''), rotation('moving', 0.5, 2)]);
    const out = (text: string): void => {
      if (text.includes('moving')) stop.abort();
    };
    const args = ['connect', 'ca', 'rotate', '-watch', `-http-addr=${address}`];
    const { status, stderr } = await run(args, { stopSignal: () => stop.signal, out });
    expect(status).toBe(130);
    expect(stderr).toMatch(/^No longer watching; the rotation goes on/);
  });
});
