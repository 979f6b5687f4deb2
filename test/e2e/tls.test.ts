import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CertOptions, TestAuthority } from '../fakes/agent-certificates.ts';
import { type Bed, callAgent, isthmus, portOf, startBed, startLoad, startSidecar, waitFor } from '../harness/index.ts';

const authority = new TestAuthority();
const folder = mkdtempSync(join(tmpdir(), 'isthmus-tls-'));
const seen: Buffer[] = [];
let bed: Bed;

/** Writes a server's certificate; returns the keys of the configuration that name it. */
function certificates(datacenter: string, from = authority, options: CertOptions = {}): Record<string, unknown> {
  const file = (name: string): string => join(folder, `${datacenter}-${name}.pem`);
  const { cert, key } = from.make('server', { datacenter, ...options });
  writeFileSync(file('ca'), from.ca);
  writeFileSync(file('cert'), cert);
  writeFileSync(file('key'), key);
  return {
    ca_file: file('ca'),
    cert_file: file('cert'),
    key_file: file('key'),
    verify_incoming: true,
    verify_outgoing: true,
    verify_server_hostname: true,
  };
}

interface Self {
  readonly Stats: { readonly tls: Readonly<Record<string, string>> };
}

const expires = async (): Promise<string | undefined> =>
  (await callAgent<Self>(bed.dc1, 'GET', '/v1/agent/self')).Stats.tls.internal_rpc_expires;

beforeAll(async () => {
  bed = await startBed({
    dc1: { ...certificates('dc1'), ports: { https: 0 } },
    dc2: certificates('dc2'),
    onWanBytes: (chunk) => void seen.push(chunk),
  });
});

afterAll(async () => {
  await bed?.stop();
  rmSync(folder, { recursive: true });
});

describe('two datacenters with certificates from files', () => {
  it('say nothing in plain text to each other', () => {
    const said = Buffer.concat(seen).toString('latin1');
    expect(said.length).toBeGreaterThan(10_000);
    for (const word of ['PRI * HTTP/2.0', '/isthmus.v1.Server/', 'BEGIN CERTIFICATE']) expect(said).not.toContain(word);
  });

  it('take new certificates under traffic, and keep those of before when new ones are wrong', async () => {
    const { web } = await bed.webToDb();
    const load = await startLoad(web.upstreamPort, 50, 5);
    const before = await expires();
    certificates('dc1', authority, { until: 60 });
    await waitFor(async () => (await expires()) !== before, { what: 'the new certificate' });
    writeFileSync(join(folder, 'dc1-key.pem'), authority.make('server').key);
    const refused = await bed.dc1.http('PUT', '/v1/agent/reload');
    expect(refused.status).toBe(500);
    expect(refused.body).toMatch(/key_file ".*dc1-key.pem" is not the key of the certificate in cert_file/);
    certificates('dc1');
    for (const wan of bed.wans) wan.breakConnections();
    await waitFor(
      async () =>
        (await callAgent<readonly { state: { kind: string } }[]>(bed.dc2, 'GET', '/v1/internal/links')).some(
          ({ state }) => state.kind === 'up',
        ),
      { what: 'a link with the new certificate' },
    );
    expect(await load.stop()).toMatchObject({ failed: 0, longLivedFailed: 0 });
  });

  it('serve the API, the command line and sidecars over HTTPS, to clients with a certificate', async () => {
    const cli = authority.make('cli');
    writeFileSync(join(folder, 'cli.pem'), cli.cert);
    writeFileSync(join(folder, 'cli-key.pem'), cli.key);
    const address = `https://${bed.dc1.ready.https}`;
    const ca = ['-http-addr', address, '-ca-file', join(folder, 'dc1-ca.pem')];
    const client = [...ca, '-client-cert', join(folder, 'cli.pem'), '-client-key', join(folder, 'cli-key.pem')];
    expect(await isthmus(['catalog', 'datacenters', ...client])).toMatchObject({ code: 0, out: 'dc1\ndc2\n' });
    const named = await isthmus(['catalog', 'datacenters', ...client, '-tls-server-name', 'other.example']);
    expect(named.err).toMatch(/x509: certificate is not valid for/);
    expect((await isthmus(['catalog', 'datacenters', ...ca])).err).toMatch(/certificate required|EOF/);
    const unknown = await isthmus(['catalog', 'datacenters', '-http-addr', address]);
    expect(unknown.err).toMatch(/x509: certificate signed by unknown authority; name its authority with -ca-file/);

    await callAgent(bed.dc1, 'PUT', '/v1/agent/service/register', {
      Name: 'api',
      Port: 9,
      Connect: { SidecarService: {} },
    });
    const sidecar = await startSidecar({ agent: bed.dc1, sidecarFor: 'api', args: client });
    await sidecar.stop();
    expect(sidecar.ready.listen).toBeDefined();
  });

  it('tell whoever knocks in plain text nothing, and the log why', async () => {
    const port = portOf(bed.dc1.ready.server);
    const answer = await new Promise<string>((resolve) => {
      let text = '';
      const socket = connect(port, '127.0.0.1', () => socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
      socket.on('data', (chunk) => (text += chunk.toString('latin1')));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(text));
    });
    expect(answer).toBe('');
    const line = 'it spoke plain text, and this port asks for TLS: invite it';
    await waitFor(async () => bed.dc1.log().includes(line), { what: 'the line about it' });
  });

  it('refuse a datacenter whose certificates another authority made, and say so once on both sides', async () => {
    const stranger = new TestAuthority('Other CA');
    await bed.dc2.restart(certificates('dc2', stranger));
    await waitFor(async () => bed.dc2.log().includes('server not reached'), { what: 'the refusal' });
    expect(bed.dc2.log()).toMatch(
      /its certificate \(server\.dc1\.consul\) was made by an authority that is not trusted here/,
    );
    await bed.dc2.restart(certificates('dc1-as-dc2', authority, { datacenter: 'dc1' }));
    await waitFor(async () => bed.dc1.log().includes('by its certificate'), {
      what: 'the refusal of a wrong datacenter',
    });
    expect(bed.dc1.log()).toMatch(
      /says that it is a server of datacenter \\"dc2\\", but by its certificate \(server.dc1.consul\)/,
    );
    await bed.dc2.restart(certificates('dc2'));
    await waitFor(
      async () => (await callAgent<readonly string[]>(bed.dc1, 'GET', '/v1/catalog/datacenters')).length === 2,
      {
        what: 'the federation with the right certificate',
      },
    );
  });
});
