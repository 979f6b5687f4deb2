import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import packet, { type Answer } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { program } from '../harness/index.ts';
import { REGISTRATIONS } from './cli-catalog.ts';
import { type DnsRecording, loadQuestions } from './recording.ts';
import { startTwoDatacenters, type TwoDatacenters } from './two-datacenters.ts';

/** What was asked, as both clients show it: sections as sorted lines with single spaces. */
type Shown = Omit<DnsRecording, 'name' | 'type'>;

/** Service addresses that the recorded catalog has beside what the commands were run on. */
const DB_IN_DC2 = {
  Node: 'm1',
  Address: '10.1.0.1',
  Service: {
    ID: 'db-9',
    Service: 'db',
    Port: 5432,
    TaggedAddresses: { lan: { Address: '10.1.0.7', Port: 6001 }, wan: { Address: '203.0.113.7', Port: 16_001 } },
  },
  SkipNodeUpdate: true,
};

const GEO_CACHE = {
  Name: 'geo-cache',
  Service: { Service: 'cache', Failover: { Datacenters: ['dc2'] } },
  DNS: { TTL: '7s' },
};

const digProgram = program('dig');

/** Asks what the real peer was asked, and compares every record. */
describe('answers of the DNS server', () => {
  let datacenters: TwoDatacenters;
  let port = 0;

  beforeAll(async () => {
    datacenters = await startTwoDatacenters({ translate_wan_addrs: true });
    for (const { dc, body } of [...REGISTRATIONS, { dc: 'dc2' as const, body: DB_IN_DC2 }]) {
      const answer = await datacenters[dc].http('PUT', '/v1/catalog/register', body);
      expect(answer.body).toBe('true');
    }
    const query = await datacenters.dc1.http('POST', '/v1/query', GEO_CACHE);
    expect(query.status).toBe(200);
    port = Number(datacenters.dc1.ready.dns?.split(':').at(-1));
  });

  afterAll(async () => {
    await datacenters?.stop();
  });

  for (const { name, type, ...recorded } of loadQuestions()) {
    it(`${name} ${type}`, async () => {
      expect(await ask(port, name, type)).toEqual(normal(recorded));
    });
    it.skipIf(digProgram.missing)(digProgram.title(`${name} ${type}, asked by dig`), async () => {
      expect(await dig(port, name, type)).toEqual(normal(recorded));
    });
  }

  it('serves the resolver of Node', async () => {
    const resolver = new Resolver();
    resolver.setServers([`127.0.0.1:${port}`]);
    expect(await resolver.resolve4('db.service.dc2.consul')).toEqual(['203.0.113.7']);
    expect(await resolver.resolveSrv('geo-cache.query.consul')).toEqual([
      expect.objectContaining({ name: 'cb007102.addr.dc2.consul', port: 6379, priority: 1, weight: 1 }),
    ]); // newer Nodes add the type
    await expect(resolver.resolve4('none.service.consul')).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });

  it('knows of a change as soon as the catalog does', async () => {
    const body = { Node: 'n3', Address: '10.0.0.3', Service: { ID: 'late', Service: 'late', Port: 1 } };
    expect((await ask(port, 'late.service.consul', 'A')).status).toBe('NXDOMAIN');
    await datacenters.dc1.http('PUT', '/v1/catalog/register', body);
    expect((await ask(port, 'late.service.consul', 'A')).answer).toEqual(['late.service.consul. 0 IN A 10.0.0.3']);
  });
});

function normal({ status, flags, ...sections }: Shown): Shown {
  const lines = (section: readonly string[]): readonly string[] =>
    section.map((line) => line.replace(/\s+/g, ' ').replace(/(IN SOA \S+ \S+) \d+/, '$1 SERIAL')).sort();
  return {
    status,
    flags,
    answer: lines(sections.answer),
    authority: lines(sections.authority),
    additional: lines(sections.additional),
  };
}

async function ask(port: number, name: string, type: string): Promise<Shown> {
  const request = packet.encode({
    type: 'query',
    id: 7,
    flags: packet.RECURSION_DESIRED,
    questions: [{ name, type: type as 'A' }],
  });
  const socket = createSocket('udp4');
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    socket.once('message', resolve);
    socket.once('error', reject);
    socket.send(request, port, '127.0.0.1');
  }).finally(() => socket.close());
  const message = packet.decode(bytes);
  const flags = [
    message.flag_qr && 'qr',
    message.flag_aa && 'aa',
    message.flag_tc && 'tc',
    message.flag_rd && 'rd',
    message.flag_ra && 'ra',
  ];
  return normal({
    status: (message as unknown as { rcode: string }).rcode,
    flags: flags.filter(Boolean).join(' '),
    answer: (message.answers ?? []).map(line),
    authority: (message.authorities ?? []).map(line),
    additional: (message.additionals ?? []).map(line),
  });
}

function line(answer: Answer): string {
  const { name, type, ttl, data } = answer as Answer & { readonly ttl: number; readonly data: unknown };
  return `${name}. ${ttl} IN ${type} ${content(type, data)}`;
}

function content(type: string, data: unknown): string {
  switch (type) {
    case 'SRV': {
      const { priority, weight, port, target } = data as Readonly<Record<string, string | number>>;
      return `${priority} ${weight} ${port} ${target}.`;
    }
    case 'SOA': {
      const { mname, rname, serial, refresh, retry, expire, minimum } = data as Readonly<
        Record<string, string | number>
      >;
      return `${mname}. ${rname}. ${serial} ${refresh} ${retry} ${expire} ${minimum}`;
    }
    case 'TXT':
      return JSON.stringify(Buffer.concat(data as Buffer[]).toString());
    case 'NS':
    case 'PTR':
    case 'CNAME':
      return `${String(data)}.`;
    default:
      return String(data);
  }
}

async function dig(port: number, name: string, type: string): Promise<Shown> {
  const args = [
    '+noedns',
    '+noall',
    '+comments',
    '+answer',
    '+authority',
    '+additional',
    '@127.0.0.1',
    '-p',
    `${port}`,
  ];
  const text = await new Promise<string>((resolve, reject) => {
    execFile(digProgram.path, [...args, name, type], (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
  const section = (title: string): readonly string[] =>
    (new RegExp(`;; ${title} SECTION:\n((?:[^;\n].*\n)*)`).exec(text)?.[1] ?? '')
      .split('\n')
      .filter((part) => part !== '');
  return normal({
    status: /status: (\w+)/.exec(text)?.[1] ?? '',
    flags: /flags: ([a-z ]*);/.exec(text)?.[1]?.trim() ?? '',
    answer: section('ANSWER'),
    authority: section('AUTHORITY'),
    additional: section('ADDITIONAL'),
  });
}
