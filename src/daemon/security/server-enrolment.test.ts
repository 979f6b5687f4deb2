import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import { loadConfig } from '../../config/load.ts';
import type { RuntimeConfig } from '../../config/types.ts';
import { TransportAuthority } from '../../domain/enrolment/authority.ts';
import { parseInvitation } from '../../domain/enrolment/invitation-text.ts';
import { type Clock, systemClock } from '../../lib/clock.ts';
import type { OwnCertificate } from '../../pki/tls-material.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { makeResult } from '../../rpc/contract/result.ts';
import { createChannel } from '../../rpc/transport/channel.ts';
import { createRpcListener } from '../../rpc/transport/listener.ts';
import { createRemoteContract } from '../../rpc/transport/remote-contract.ts';
import type { TransportSecurity } from '../../rpc/transport/security.ts';
import type { Engine } from '../../store/engine.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { type Logger, noLog, noMetrics } from '../../telemetry/types.ts';
import { createAgentSecurity } from './agent-security.ts';
import { Certificates } from './certificates.ts';
import type { ManagedCertificates } from './managed-certificates.ts';
import { securityOptions } from './options.ts';
import { fromFiles } from './policy.ts';
import { createServerEnrolment } from './server-enrolment.ts';
import { createServerTls, type Protection } from './server-tls.ts';

const never = new AbortController().signal;
const contract = { read: async () => makeResult({ index: 1, value: 'answer' }) } as unknown as ServerContract;
const cleanup: (() => Promise<void> | void)[] = [];
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'isthmus-security-'));
});

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
  rmSync(folder, { recursive: true });
});

function configOf(text: string): RuntimeConfig {
  const { config } = loadConfig(
    { flags: {}, sources: [{ kind: 'file', path: 'c.hcl' }], dev: false },
    {
      readFile: () => `data_dir = "/d" bind_addr = "127.0.0.1" primary_datacenter = "dc1" server = true\n${text}`,
      listDir: () => undefined,
      hostname: () => 'n1',
      interfaces: () => [],
    },
  );
  return config;
}

interface Transport {
  readonly security: TransportSecurity;
  readonly authority: TransportAuthority;
  readonly managed: ManagedCertificates;
  readonly protection: () => Protection;
  readonly own: () => OwnCertificate | undefined;
}

interface Side {
  readonly transport: Transport;
  readonly address: string;
  readonly engine: Engine;
  readonly errors: string[];
}

const tokens: [string, string][] = [];

/** A server as the daemon puts it together, as far as its transport is concerned. */
async function start(
  text: string,
  options: { engine?: Engine; primary?: () => string; clock?: Clock } = {},
): Promise<Side> {
  const config = configOf(text);
  const { clock = systemClock, engine = new MemoryEngine(clock) } = options;
  const errors: string[] = [];
  const log: Logger = { ...noLog, error: (message) => void errors.push(message), child: () => log };
  const store = new Store({ engine, clock, onError: () => undefined });
  const certificates = new Certificates({
    tls: config.tls,
    clock,
    log,
    metrics: noMetrics,
  });
  let address = '';
  const authority = new TransportAuthority({
    ...{ store, clock, datacenter: config.datacenter, primaryDatacenter: config.primaryDatacenter },
    ...{ domain: config.dns.domain, certMs: config.tls.rpc.managedCertMs, managed: !fromFiles(config.tls.rpc) },
    ...{ addresses: () => [address], known: () => [] },
  });
  const tls = createServerTls(
    {
      ...{ rpc: config.tls.rpc, datacenter: config.datacenter, domain: config.dns.domain },
      handshakeMs: config.limits.rpcHandshakeTimeoutMs,
    },
    {
      certificates,
      hasJoined: () => config.datacenter !== config.primaryDatacenter && authority.row !== undefined,
      clock,
    },
  );
  const enrolment = createServerEnrolment({
    options: securityOptions(config),
    authority,
    certificates,
    primaryServers: () => (options.primary === undefined ? [] : [options.primary()]),
    async replicationToken(accessor, datacenter) {
      tokens.push([accessor, datacenter]);
      return 'the token';
    },
    clock,
    log,
    metrics: noMetrics,
  });
  const listener = createRpcListener({
    listeners: [{ name: 'serf_wan', address: '127.0.0.1', port: 0 }],
    handlers: { datacenter: 'dc1', contract },
    security: tls.accepting(enrolment.protocol),
    clock,
    log,
    metrics: noMetrics,
  });
  const services = [store, ...enrolment.services, listener];
  for (const service of services) {
    await service.start(never);
    cleanup.push(() => service.stop());
  }
  address = `127.0.0.1:${listener.addresses.serf_wan?.port}`;
  const transport = {
    security: tls.dialling,
    authority,
    managed: enrolment.managed,
    protection: tls.protection,
    own: () => certificates.material('internal_rpc')?.own,
  };
  return { transport, address, engine, errors };
}

/** A client agent, as far as its transport is concerned. */
async function startAgent(text: string, clock: Clock = systemClock) {
  const config = configOf(text);
  const told: string[] = [];
  const certificates = new Certificates({
    tls: config.tls,
    clock,
    log: noLog,
    metrics: noMetrics,
  });
  const agent = createAgentSecurity({
    options: securityOptions(config),
    certificates,
    servers: () => [],
    onServers: (addresses) => told.push(...addresses),
    clock,
    log: noLog,
  });
  await agent.service.start(never);
  cleanup.push(() => agent.service.stop());
  return { transport: agent, told };
}

async function ask(
  from: { readonly transport: Pick<Transport, 'security'> },
  to: Side,
  datacenter: string,
): Promise<unknown> {
  const channel = createChannel({ address: to.address, datacenter, security: from.transport.security });
  try {
    const remote = createRemoteContract({ channel, clock: systemClock });
    return (await remote.read('ca.roots', {}, { signal: never })).value;
  } finally {
    channel.close();
  }
}

const PRIMARY = 'datacenter = "dc1" tls { internal_rpc { managed = true } }';

async function invitationFile(primary: Side, args = {}): Promise<string> {
  const { Invitation } = await primary.transport.authority.invite(args);
  const file = join(folder, `${parseInvitation(Invitation).secret.slice(0, 8)}.invitation`);
  writeFileSync(file, Invitation);
  return file;
}

describe('certificates without files', () => {
  it('are given by an invitation, shared by all servers of a store, and renewed without it', async () => {
    const primary = await start(PRIMARY);
    const dc2 = await start(`datacenter = "dc2" join_invite = "${await invitationFile(primary)}"`, {
      primary: () => primary.address,
    });
    expect(await ask(dc2, primary, 'dc1')).toBe('answer');
    expect(await ask(primary, dc2, 'dc2')).toBe('answer');
    await expect(ask(primary, dc2, 'dc1')).rejects.toThrow(/is not that of a server: .*server\.dc1\.consul/);
    expect(dc2.transport.authority.row?.addresses).toEqual([primary.address]);
    expect(dc2.transport.authority.replicationToken()).toBe('the token');
    expect(tokens).toEqual([[expect.any(String), 'dc2']]);

    const second = await start('datacenter = "dc2"', { engine: dc2.engine, primary: () => primary.address });
    expect(second.transport.protection()).toMatchObject({ certificate: true, here: { verifyIncoming: true } });
    expect(await ask(second, primary, 'dc1')).toBe('answer');
    expect(await ask(second, dc2, 'dc2')).toBe('answer');
    const anotherOfPrimary = await start(PRIMARY, { engine: primary.engine });
    expect(await ask(dc2, anotherOfPrimary, 'dc1')).toBe('answer');

    const before = dc2.transport.authority.row?.keyId;
    await dc2.transport.managed.renewAuthority();
    expect(dc2.transport.authority.row?.keyId).not.toBe(before);
    expect(await ask(dc2, primary, 'dc1')).toBe('answer');
    expect(second.transport.authority.row?.keyId).toBe(dc2.transport.authority.row?.keyId);
  });

  it('are given anew by a primary that has lost its store', async () => {
    const lost = await start(PRIMARY);
    const file = await invitationFile(lost);
    const dc2 = await start(`datacenter = "dc2" join_invite = "${file}"`);
    const primary = await start(PRIMARY);
    await expect(ask(dc2, primary, 'dc1')).rejects.toThrow(/authority that is not trusted here/);
    const stillOld = await start(`datacenter = "dc2" join_invite = "${file}"`, { engine: dc2.engine });
    expect(await ask(stillOld, lost, 'dc1')).toBe('answer');
    const again = await invitationFile(primary);
    const rejoined = await start(`datacenter = "dc2" join_invite = "${again}"`, { engine: dc2.engine });
    expect(await ask(rejoined, primary, 'dc1')).toBe('answer');
    expect(await ask(primary, rejoined, 'dc2')).toBe('answer');
  });

  it('can be brought into a federation that speaks plain text', async () => {
    const primary = await start(
      'datacenter = "dc1" tls { internal_rpc { managed = true verify_incoming = false verify_outgoing = false } }',
    );
    const plain = await start('datacenter = "dc3"');
    expect(await ask(plain, primary, 'dc1')).toBe('answer');
    expect(await ask(primary, plain, 'dc3')).toBe('answer');
    const invite = await invitationFile(primary, { JoiningDatacenter: 'dc2' });
    const moved = await start(`datacenter = "dc2" join_invite = "${invite}"`);
    expect(await ask(moved, primary, 'dc1')).toBe('answer');
    expect(await ask(primary, moved, 'dc2')).toBe('answer'); // with TLS, which it prefers
    const strict = await start(PRIMARY, { engine: primary.engine });
    expect(await ask(strict, moved, 'dc2')).toBe('answer');
    await expect(ask(plain, strict, 'dc1')).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('go on when the authority has expired, for another invitation', async () => {
    const primary = await start(PRIMARY);
    const invite = await invitationFile(primary);
    const dc2 = await start(`datacenter = "dc2" join_invite = "${invite}"`);
    const later = Date.now() + 91 * 86_400_000;
    const clock: Clock = { ...systemClock, now: () => later };
    const stale = await start('datacenter = "dc2"', { engine: dc2.engine, clock });
    expect(stale.errors).toEqual([expect.stringMatching(/has expired, or .*: invite it again/)]);
    await expect(ask(stale, primary, 'dc1')).rejects.toThrow(/no certificate to dial with/); // nor in plain text
    const again = await invitationFile(primary, { JoiningDatacenter: 'dc2' });
    const rejoined = await start(`datacenter = "dc2" join_invite = "${again}"`, { engine: dc2.engine });
    expect(await ask(rejoined, primary, 'dc1')).toBe('answer');
  });

  it('are replaced when the clock is set: what has ended by it, and what was made while it was ahead', async () => {
    const clock = new FakeClock(Date.now());
    const primary = await start(PRIMARY, { clock });
    const own = () => primary.transport.own() ?? expect.unreachable();
    const first = own();
    await clock.set(60_000);
    expect(own()).toBe(first);
    await clock.set(10 * 86_400_000);
    expect(own().notAfter).toBeGreaterThan(clock.now());
    await clock.set(-10 * 86_400_000);
    expect(own().notBefore).toBeLessThanOrEqual(clock.now());
    expect(own().notAfter).toBeGreaterThan(clock.now());
  });

  it('are given to a client agent, kept in its data directory, and renewed by a server', async () => {
    const primary = await start(PRIMARY);
    const text = `server = false data_dir = "${folder}" datacenter = "dc1"`;
    const agent = await startAgent(`${text} join_invite = "${await invitationFile(primary, { Kind: 'agent' })}"`);
    expect(agent.told).toEqual([primary.address]);
    expect(await ask(agent, primary, 'dc1')).toBe('answer');
    const file = join(folder, 'agent-certificate.json');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const kept = readFileSync(file, 'utf8');

    const again = await startAgent(text);
    expect(await ask(again, primary, 'dc1')).toBe('answer');
    expect(readFileSync(file, 'utf8')).toBe(kept);

    const later = Date.now() + 2 * 86_400_000; // of three days
    let looked = (): void => undefined;
    const renewed = new Promise<void>((resolve) => {
      looked = resolve;
    });
    // The shortest pause until the next look begins once this one is over: by this clock the new one is old too.
    const clock: Clock = {
      ...systemClock,
      now: () => later,
      after(ms, fire) {
        if (ms === 500) looked();
        return systemClock.after(ms, fire);
      },
    };
    await startAgent(text, clock);
    await renewed;
    expect(readFileSync(file, 'utf8')).not.toBe(kept);

    writeFileSync(file, '{');
    await expect(startAgent(text)).rejects.toThrow(/is damaged: remove it, and start with another invitation/);
    rmSync(file);
    await expect(startAgent(`${text} tls { internal_rpc { managed = true } }`)).rejects.toThrow(
      /this agent has no certificate yet: start it once with -join-invite FILE/,
    );
    const forServer = await invitationFile(primary);
    await expect(startAgent(`${text} join_invite = "${forServer}"`)).rejects.toThrow(
      /for the first server of a datacenter/,
    );
  });

  it.each([
    ['datacenter = "dc2" tls { internal_rpc { managed = true } }', /start it once with -join-invite FILE/],
    ['datacenter = "dc2" join_invite = "/nowhere"', /join_invite "\/nowhere" can't be read/],
    [
      'datacenter = "dc1" join_invite = "FILE"',
      /c.hcl:2: "join_invite" is for a new datacenter: set "primary_datacenter"/,
    ],
    [
      'datacenter = "dc2" primary_datacenter = "dc9" join_invite = "FILE"',
      /it is of primary "dc1": set primary_datacenter/,
    ],
    ['datacenter = "dc2" domain = "mesh" join_invite = "FILE"', /it is for domain "consul": set domain to it/],
    ['datacenter = "dc2" join_invite = "AGENT"', /it is for a client agent, and this is a server/],
  ])('are refused with what to do: %s', async (text, message) => {
    const primary = await start(PRIMARY);
    const names = { FILE: await invitationFile(primary), AGENT: await invitationFile(primary, { Kind: 'agent' }) };
    await expect(start(text.replace(/FILE|AGENT/, (name) => names[name as keyof typeof names]))).rejects.toThrow(
      message,
    );
  });
});
