import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CatalogDatacenter, startCatalogDatacenter } from '../../../test/fakes/catalog-contract.ts';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { noLog, noMetrics } from '../../telemetry/types.ts';
import { createLocalState } from './local-state.ts';
import type { LocalState, LocalStateOptions } from './types.ts';

const SIGNAL = new AbortController().signal;

let clock: FakeClock;
let datacenter: CatalogDatacenter;
let local: LocalState;
const running: LocalState[] = [];

function create(options: Partial<LocalStateOptions> = {}): LocalState {
  const state = createLocalState(
    { contract: datacenter.contract, clock, log: noLog, metrics: noMetrics, random: () => 0.5 },
    {
      node: 'n1',
      nodeId: '',
      datacenter: 'dc1',
      address: '10.0.0.1',
      taggedAddresses: { lan: '10.0.0.1' },
      ...options,
    },
  );
  running.push(state);
  return state;
}

beforeEach(async () => {
  clock = new FakeClock();
  datacenter = await startCatalogDatacenter();
  local = create();
});
afterEach(async () => {
  for (const state of running.splice(0)) await state.stop();
  await datacenter.stop();
});

const check = (id: string, of: LocalState = local) => of.checks().find((found) => found.CheckID === id);
const catalogChecks = () => datacenter.catalog.reads['health.node'].produce({ node: 'n1' });

describe('TTL checks', () => {
  it('expire without a word, and say what was said last', async () => {
    await local.registerService({ Name: 'web', Check: { TTL: 10_000 } });
    local.updateTtl('service:web', 'passing', 'fine');
    await clock.advance(9_999);
    expect(check('service:web')).toMatchObject({ Status: 'passing', Output: 'fine' });
    local.updateTtl('service:web', 'warning', 'so so');
    await clock.advance(9_999);
    expect(check('service:web')?.Status).toBe('warning');
    await clock.advance(1);
    expect(check('service:web')).toMatchObject({
      Status: 'critical',
      Output: 'TTL expired (last output before timeout follows): so so',
    });
  });

  it('keep no more output than they may', async () => {
    await local.registerCheck({ Name: 'mem', TTL: 10_000, OutputMaxSize: 5 });
    local.updateTtl('mem', 'passing', '123456789');
    expect(check('mem')?.Output).toBe('12345 ... (captured 5 of 9 bytes)');
    local.updateTtl('mem', 'passing', 'ééé');
    expect(check('mem')?.Output).toBe('éé ... (captured 5 of 6 bytes)');
  });
});

it('warns of a second sidecar with the same port, and of one that listens elsewhere than registered', async () => {
  const warnings: unknown[] = [];
  const log = { ...noLog, warn: (message: string, fields?: object) => void warnings.push({ message, ...fields }) };
  const state = createLocalState(
    { contract: datacenter.contract, clock, log, metrics: noMetrics, random: () => 0.5 },
    { node: 'n1', nodeId: '', datacenter: 'dc1', address: '10.0.0.1', taggedAddresses: {} },
  );
  running.push(state);
  const sidecar = (ID: string, Address = '', bind_port?: number) =>
    state.registerService({
      Name: 'web',
      ID,
      Connect: {
        SidecarService: {
          Port: 21_000,
          Address,
          ...(bind_port === undefined ? {} : { Proxy: { Config: { bind_port } } }),
        },
      },
    });
  await sidecar('a');
  await sidecar('a');
  await sidecar('c', '10.0.0.3');
  expect(warnings).toEqual([]);
  await sidecar('b');
  await sidecar('d', '10.0.0.4', 9);
  expect(warnings).toEqual([
    expect.objectContaining({ proxy: 'b-sidecar-proxy', other: 'a-sidecar-proxy', port: 21_000 }),
    expect.objectContaining({ proxy: 'd-sidecar-proxy', bind_port: 9, port: 21_000 }),
  ]);
});

describe('alias checks', () => {
  it('of another node are critical while the node or its service is absent, and turn when that changes', async () => {
    await local.registerCheck({ Name: 'service', AliasNode: 'n2', AliasService: 'db' });
    await local.registerCheck({ Name: 'node', AliasNode: 'n2' });
    const turns = async (id: string, status: string, output: string): Promise<void> => {
      for (let turn = 0; turn < 100 && check(id)?.Output !== output; turn += 1) await clock.advance(100);
      expect(check(id)).toMatchObject({ Status: status, Output: output });
    };
    await turns('service', 'critical', 'Node n2 could not be found');
    await turns('node', 'critical', 'Node n2 could not be found');
    await datacenter.catalog.register({ Node: 'n2', Address: '10.0.0.2' });
    await turns('service', 'critical', 'Service db could not be found on node n2');
    await turns('node', 'passing', 'No checks found.');
    await datacenter.catalog.register({ Node: 'n2', Address: '10.0.0.2', Service: { ID: 'db', Service: 'db' } });
    await turns('service', 'passing', 'No checks found.');
    await datacenter.catalog.deregister({ Node: 'n2', ServiceID: 'db' });
    await turns('service', 'critical', 'Service db could not be found on node n2');
    await datacenter.catalog.deregister({ Node: 'n2' });
    await turns('node', 'critical', 'Node n2 could not be found');
  });

  it('follow the checks of a service and of the node', async () => {
    await local.registerService({ Name: 'web', Check: { TTL: 10_000, Status: 'passing' } });
    await local.registerCheck({ Name: 'alias', AliasService: 'web' });
    await clock.advance(0);
    expect(check('alias')).toMatchObject({ Status: 'passing', Output: 'All checks passing.' });
    local.updateTtl('service:web', 'warning', 'w');
    await clock.advance(0);
    expect(check('alias')).toMatchObject({
      Status: 'warning',
      Output: 'Aliased check "Service \'web\' check" failing: w',
    });
    await local.setNodeMaintenance(true, 'r');
    await clock.advance(0);
    expect(check('alias')?.Status).toBe('critical');
    await local.setNodeMaintenance(false, '');
    await local.deregisterService('web');
    await clock.advance(0);
    expect(check('alias')).toMatchObject({ Status: 'critical', Output: 'Service web could not be found on node n1' });
  });

  it('follow another node through the servers', async () => {
    await local.registerCheck({ Name: 'other', AliasNode: 'n2' });
    await datacenter.catalog.register({
      Node: 'n2',
      Address: '1.1.1.1',
      Check: { Name: 'disk', Status: 'warning', Output: 'full' },
    });
    await expect.poll(() => check('other')?.Status).toBe('warning');
    expect(check('other')?.Output).toBe('Aliased check "disk" failing: full');
  });

  it('that look at each other come to rest', async () => {
    await local.registerService({ Name: 'a', Checks: [{ TTL: 1_000 }, { CheckID: 'a-b', AliasService: 'b' }] });
    await local.registerService({ Name: 'b', Check: { CheckID: 'b-a', AliasService: 'a' } });
    await clock.advance(0);
    expect(check('a-b')).toMatchObject({ Status: 'passing', Output: 'No checks found.' });
    expect(check('b-a')).toMatchObject({ Status: 'critical', Output: 'Aliased check "Service \'a\' check" failing: ' });
    local.updateTtl('service:a:1', 'passing', '');
    await clock.advance(0);
    expect(check('b-a')?.Status).toBe('passing');
  });
});

describe('services', () => {
  it('go with their checks and sidecar, whose port is theirs while they last', async () => {
    const definition = { Name: 'web', ID: 'web-1', Port: 80, Connect: { SidecarService: {} } };
    await local.registerService(definition);
    await local.registerService({ Name: 'db', Connect: { SidecarService: {} } });
    await local.registerService(definition);
    expect(local.services().map(({ ID, Port }) => [ID, Port])).toEqual([
      ['db', 0],
      ['db-sidecar-proxy', 21_001],
      ['web-1', 80],
      ['web-1-sidecar-proxy', 21_000],
    ]);
    await local.deregisterService('web-1');
    await local.registerService({ Name: 'new', Connect: { SidecarService: {} } });
    expect(local.service('new-sidecar-proxy').Port).toBe(21_000);
    await local.deregisterService('new');
    await local.deregisterService('db');
    expect([local.services(), local.checks()]).toEqual([[], []]);
  });

  it('are refused a sidecar when the ports are used up', async () => {
    const small = create({ sidecarPorts: { min: 21_000, max: 21_000 } });
    await small.registerService({ Name: 'a', Connect: { SidecarService: {} } });
    await expect(small.registerService({ Name: 'b', Connect: { SidecarService: {} } })).rejects.toMatchObject({
      code: 'invalid_argument',
      message:
        'Invalid SidecarService: no port provided for sidecar_service and none left to allocate in the configured ' +
        'range [21000, 21000]',
    });
    expect(small.services().map((service) => service.ID)).toEqual(['a', 'a-sidecar-proxy']);
  });

  it.each([
    [{ Name: 'x', Address: '0.0.0.0' }, 'Invalid service address'],
    [{ Name: 'x', Weights: { Passing: 1, Warning: -1 } }, 'Invalid Weights: Warning must be greater or equal than 0'],
    [
      { Name: 'x', Meta: { 'a b': 'c' } },
      "Invalid Service Meta: Couldn't load metadata pair ('a b', 'c'): Key contains invalid characters",
    ],
    [{ Name: 'x', Check: { TTL: 1, Interval: 1 } }, 'Invalid check: Interval and TTL cannot both be specified'],
    [{ Name: 'x', Check: { TTL: 1, Status: 'ok' } }, "Status for checks must 'passing', 'warning', 'critical'"],
    [
      { Name: 'x', Connect: { SidecarService: { Check: { TCP: 'x:1' } } } },
      'Invalid check in sidecar_service: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks',
    ],
    [
      { Name: 'x', Connect: { SidecarService: { ID: 'y', Connect: { SidecarService: {} } } } },
      '2 errors occurred:\n\t* A SidecarService cannot specify an ID as this is managed by the agent\n\t* A ' +
        'SidecarService cannot have a nested SidecarService\n\n',
    ],
  ])('are refused: %j', async (definition, message) => {
    await expect(local.registerService(definition)).rejects.toMatchObject({ code: 'invalid_argument', message });
    expect(local.services()).toEqual([]);
  });

  it('offer an address under its family’s tags', async () => {
    await local.registerService({ Name: 'x', Address: '10.1.1.1', Port: 5 });
    const own = { Address: '10.1.1.1', Port: 5 };
    expect(local.service('x').TaggedAddresses).toEqual({ lan_ipv4: own, wan_ipv4: own });
  });

  it('wake those who wait for another content', async () => {
    await local.registerService({ Name: 'x', Port: 1 });
    const { ContentHash: hash = '' } = local.service('x');
    const waiting = local.waitService('x', hash, 60_000, SIGNAL);
    await local.registerService({ Name: 'x', Port: 1 });
    await local.registerService({ Name: 'other' });
    await local.registerService({ Name: 'x', Port: 2 });
    const changed = await waiting;
    expect(changed.Port).toBe(2);
    expect(changed.ContentHash).not.toBe(hash);
    const timed = local.waitService('x', changed.ContentHash ?? '', 1_000, SIGNAL);
    await clock.advance(1_000);
    expect(await timed).toEqual(changed);
    const removed = local.waitService('x', changed.ContentHash ?? '', 60_000, SIGNAL);
    await local.deregisterService('x');
    await expect(removed).rejects.toMatchObject({ code: 'not_found' });
  });

  it('lose the checks that a new registration leaves out only when asked to', async () => {
    const checks = [
      { CheckID: 'one', TTL: 1_000 },
      { CheckID: 'two', TTL: 1_000 },
    ];
    await local.registerService({ Name: 'x', Checks: checks });
    await local.registerService({ Name: 'x', Tags: ['t'], Check: { CheckID: 'one', TTL: 1_000 } });
    expect(local.checks().map(({ CheckID, ServiceTags }) => [CheckID, ServiceTags])).toEqual([
      ['one', ['t']],
      ['two', ['t']],
    ]);
    await local.registerService({ Name: 'x', Check: { CheckID: 'one', TTL: 1_000 } }, { replaceExistingChecks: true });
    expect(local.checks().map(({ CheckID }) => CheckID)).toEqual(['one']);
  });

  it('show the worst of their checks and of the node', async () => {
    await local.registerService({ Name: 'x', Check: { TTL: 1_000, Status: 'warning' } });
    expect(local.healthById('x')?.AggregatedStatus).toBe('warning');
    await local.setServiceMaintenance('x', true, '');
    expect(local.healthByName('x')[0]?.AggregatedStatus).toBe('maintenance');
    expect(check('_service_maintenance:x')?.Notes).toBe(
      'Maintenance mode is enabled for this service, but no reason was provided. This is a default message.',
    );
    await local.setServiceMaintenance('x', false, '');
    await local.registerCheck({ Name: 'disk', TTL: 1_000 });
    expect(local.healthById('x')?.AggregatedStatus).toBe('critical');
    await expect(local.setServiceMaintenance('none', true, '')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('are removed when they were critical for too long', async () => {
    await local.start(SIGNAL);
    await local.registerService({
      Name: 'x',
      Check: { TTL: 10_000, Status: 'passing', DeregisterCriticalServiceAfter: 1 },
    });
    await clock.advance(10_000);
    expect(check('service:x')?.Status).toBe('critical');
    await clock.advance(55_000); // never sooner than after a minute
    expect(local.services()).toHaveLength(1);
    await clock.advance(60_000);
    expect(local.services()).toHaveLength(0);
  });
});

describe('definitions from files', () => {
  it('replace what files defined before, and disturb nothing that stayed', async () => {
    await local.registerService({ Name: 'api' });
    const web = { Name: 'web', Check: { TTL: '10s' }, Connect: { SidecarService: {} } };
    await local.loadDefinitions(
      [web, { Name: 'gone' }],
      [
        { Name: 'disk', TTL: '1m' },
        { Name: 'old', TTL: '1m' },
      ],
    );
    local.updateTtl('service:web', 'passing', 'fine');
    await clock.advance(6_000);
    await local.loadDefinitions([{ ...web, Tags: ['new'] }], [{ Name: 'disk', TTL: '1m' }]);
    expect(local.services().map(({ ID }) => ID)).toEqual(['api', 'web', 'web-sidecar-proxy']);
    expect(local.checks().map(({ CheckID }) => CheckID)).toEqual([
      'disk',
      'service:web',
      'service:web-sidecar-proxy:1',
      'service:web-sidecar-proxy:2',
    ]);
    expect(check('service:web')).toMatchObject({ Status: 'passing', Output: 'fine', ServiceTags: ['new'] });
    await clock.advance(4_000); // its time went on over the reload
    expect(check('service:web')?.Status).toBe('critical');
    await local.loadDefinitions([], []);
    expect(local.services().map(({ ID }) => ID)).toEqual(['api']);
    expect(local.checks()).toEqual([]);
  });

  it('run commands only where that is allowed, and requests only where that is', async () => {
    const script = { CheckID: 'c', Interval: 1_000, Args: ['/bin/true'] };
    const docker = { ...script, DockerContainerID: 'f9' };
    const files = create({ scripts: { local: true, remote: false } });
    for (const command of [script, docker]) {
      const sidecar = { Name: 'web', Connect: { SidecarService: { Check: command } } };
      for (const state of [local, files]) {
        const refused = {
          code: 'rejected',
          message: expect.stringContaining('are disabled on this agent from remote'),
        };
        await expect(state.registerService({ Name: 'web', Check: command })).rejects.toMatchObject(refused);
        await expect(state.registerService(sidecar)).rejects.toMatchObject(refused);
        await expect(state.registerCheck({ Name: 'disk', ...command })).rejects.toMatchObject(refused);
        expect(state.checks()).toEqual([]);
      }
      const file = { ...command, Interval: '1s' };
      await expect(local.loadDefinitions([{ Name: 'web', Checks: [file] }], [])).rejects.toThrow(
        'service "web": Scripts are disabled on this agent; to enable, configure \'enable_script_checks\' or',
      );
      await expect(local.loadDefinitions([], [{ Name: 'disk', ...file }])).rejects.toThrow('check "disk": Scripts are');
      await files.loadDefinitions([{ Name: 'web', Checks: [file] }], []);
      expect(files.checks()).toMatchObject([
        { CheckID: 'c', Type: 'DockerContainerID' in command ? 'docker' : 'script' },
      ]);
      await files.loadDefinitions([], []);
    }
  });

  it('have the addresses of the family that the node advertises', async () => {
    const six = create({ node: 'n6', address: 'fd00::6' });
    const definition = { Name: 'web', Port: 80, Connect: { SidecarService: { Port: 21_000 } } };
    await six.loadDefinitions([definition], []);
    await local.loadDefinitions([definition], []);
    const shown = (of: LocalState): unknown => [
      of.serviceForm('web-sidecar-proxy')?.Proxy.LocalServiceAddress,
      check('service:web-sidecar-proxy:1', of)?.Output,
    ];
    for (const state of [six, local]) {
      for (let turn = 0; turn < 100 && check('service:web-sidecar-proxy:1', state)?.Output === ''; turn += 1) {
        await clock.advance(1_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    expect(shown(six)).toEqual(['::1', expect.stringContaining('[::1]:21000')]);
    expect(shown(local)).toEqual(['127.0.0.1', expect.stringContaining('127.0.0.1:21000')]);
  });

  it('change nothing when one of them makes no sense', async () => {
    await local.loadDefinitions([{ Name: 'web' }], []);
    await expect(local.loadDefinitions([{ Name: 'ok' }], [{ Name: 'bad' }])).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'check "bad": Invalid check: TTL must be > 0 for TTL checks',
    });
    expect(local.services().map(({ ID }) => ID)).toEqual(['web']);
  });
});

describe('over a restart', () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'isthmus-local-'));
  });
  afterEach(() => rm(dataDir, { recursive: true, force: true }));

  const restart = async (
    state: LocalState | undefined,
    options: Partial<LocalStateOptions> = {},
  ): Promise<LocalState> => {
    await state?.stop();
    const next = create({ dataDir, ...options });
    await next.start(SIGNAL);
    return next;
  };

  it('registrations stay as they were, TTLs for the time that they have left', async () => {
    let state = await restart(undefined);
    await state.registerService(
      { Name: 'web', Check: { TTL: 10_000 }, Connect: { SidecarService: {} } },
      { token: 'secret' },
    );
    await state.registerService({ Name: 'gone' });
    await state.registerCheck({ Name: 'mem', TTL: 60_000 });
    await state.deregisterService('gone');
    await state.setServiceMaintenance('web', true, 'why');
    state.updateTtl('service:web', 'passing', 'fine');
    const before = {
      services: state.services(),
      ids: state.checks().map(({ CheckID, Name, Notes }) => [CheckID, Name, Notes]),
    };
    await clock.advance(4_000);
    state = await restart(state);
    expect(state.services()).toEqual(before.services);
    expect(state.checks().map(({ CheckID, Name, Notes }) => [CheckID, Name, Notes])).toEqual(before.ids);
    expect(check('service:web', state)).toMatchObject({ Status: 'passing', Output: 'fine' });
    expect(check('mem', state)?.Status).toBe('critical');
    await clock.advance(6_000);
    expect(check('service:web', state)?.Status).toBe('critical');
    await state.deregisterService('web');
    state = await restart(state);
    expect(state.services()).toEqual([]);
    expect(state.checks().map(({ CheckID }) => CheckID)).toEqual(['mem']);
  });

  it('a command that is no longer allowed stays registered, is not run, and says why', async () => {
    const marker = join(dataDir, 'ran');
    const allowed = { scripts: { local: true, remote: true }, env: process.env };
    let state = await restart(undefined, allowed);
    await state.registerCheck({ Name: 'disk', Args: ['sh', '-c', `echo x >> ${marker}; exit 1`], Interval: 1_000 });
    state = await restart(state, { scripts: { local: true, remote: false } });
    expect(check('disk', state)).toMatchObject({
      Status: 'critical',
      Output:
        "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true",
    });
    await clock.advance(10_000);
    await expect(stat(marker)).rejects.toThrow('ENOENT');
    state = await restart(state, allowed);
    await clock.advance(1_000);
    await expect.poll(() => check('disk', state)?.Status, { timeout: 10_000 }).toBe('warning');
    expect(await readFile(marker, 'utf8')).toBe('x\n');
  });

  it('a TTL that ran out meanwhile is critical', async () => {
    let state = await restart(undefined);
    await state.registerService({ Name: 'web', Check: { TTL: 10_000 } });
    state.updateTtl('service:web', 'passing', 'fine');
    await state.stop();
    await clock.advance(10_000);
    state = await restart(undefined);
    expect(check('service:web', state)).toMatchObject({ Status: 'critical', Output: '' });
  });

  it('files are the owner’s alone, and a broken one is left out', async () => {
    let state = await restart(undefined);
    await state.registerService({ Name: 'web' }, { token: 'secret' });
    await state.registerService({ Name: 'db' });
    const [first = ''] = await readdir(join(dataDir, 'services'));
    expect((await stat(join(dataDir, 'services', first))).mode & 0o777).toBe(0o600);
    const broken = JSON.parse(await readFile(join(dataDir, 'services', first), 'utf8')) as { form: { ID: string } };
    await writeFile(join(dataDir, 'services', first), '{"form":');
    state = await restart(state);
    expect(state.services().map(({ ID }) => ID)).toEqual(['db', 'web'].filter((id) => id !== broken.form.ID));
  });

  it('what files define is not kept, and wins over what was kept', async () => {
    let state = await restart(undefined);
    await state.registerService({ Name: 'web', Port: 1 });
    await state.loadDefinitions([{ Name: 'web', Port: 2 }], []);
    state = await restart(state);
    expect(state.services()).toEqual([]);
    await state.loadDefinitions([{ Name: 'web', Port: 3 }], []);
    expect(state.service('web').Port).toBe(3);
  });
});

describe('the catalog', () => {
  it('hears of outputs alone later, of statuses at once', async () => {
    await local.start(SIGNAL);
    await local.registerCheck({ Name: 'mem', TTL: 3_600_000 });
    local.updateTtl('mem', 'passing', 'one');
    await expect.poll(() => catalogChecks()[0]?.Output).toBe('one');
    local.updateTtl('mem', 'passing', 'two');
    await clock.advance(120_000); // a comparison with the whole does not take it for a difference
    expect(catalogChecks()[0]?.Output).toBe('one');
    await clock.advance(180_000);
    await expect.poll(() => catalogChecks()[0]?.Output).toBe('two');
    local.updateTtl('mem', 'warning', 'three');
    await expect.poll(() => catalogChecks()[0]?.Output).toBe('three');
  });
});
