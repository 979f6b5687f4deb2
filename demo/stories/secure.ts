import { connect } from 'node:net';
import { ask, httpRequest, json, portOf, until } from '../../test/harness/index.ts';
import type { Bed } from '../bed.ts';
import type { Protection } from '../protection.ts';
import type { Outcome, Screen } from '../screen.ts';
import type { CaStatus, ListedInvitation, Self } from '../types.ts';
import { reachDb } from './federation.ts';

function protectionOf({ protection }: Bed): Protection {
  if (protection === undefined) throw new Error('the demo was started without --secure');
  return protection;
}

/** dc1 alone: who comes without certificate or token is turned away. */
export async function startLocked(bed: Bed, screen: Screen): Promise<Outcome> {
  screen.status('making an authority for the API, and starting dc1');
  await bed.start('dc1');
  const { http, server, wan } = bed.dc1;
  screen.line(`dc1  API ${http}   servers ${server}`);
  const { tls } = protectionOf(bed);
  const url = `${http}/v1/agent/service/register`;
  const withoutCertificate = await httpRequest(url, { method: 'PUT', body: { Name: 'x' }, tls: { ca: tls.ca } }).then(
    ({ status }) => `answered ${status}`,
    () => 'refused',
  );
  const withoutToken = await httpRequest(url, { method: 'PUT', body: { Name: 'x' }, tls });
  const plain = await tryPlainText(portOf(wan));
  if (withoutCertificate !== 'refused' || withoutToken.status !== 403 || plain !== 0)
    throw new Error(`somebody was let in: ${withoutCertificate}, ${withoutToken.status}, ${plain} bytes`);
  screen.line('a client without a certificate: refused in the handshake');
  screen.line(`one without a token: ${withoutToken.status} ${withoutToken.body}`);
  screen.line('plain text at the server port: closed without a byte');
  return { facts: 'access control denies what is not allowed; every port speaks TLS', brief: 'no one got in' };
}

/** One line brings a datacenter in: certificates, replication token, link. */
export async function joinByInvitation(bed: Bed, screen: Screen): Promise<Outcome> {
  const invitation = await protectionOf(bed).invite(bed.cliFlags('dc1'), 'dc2');
  screen.line('isthmus federation invite: a line with addresses, a fingerprint and a secret that is good once');
  screen.status('starting dc2 with it');
  const started = Date.now();
  await bed.start('dc2', invitation);
  screen.line(`dc2  API ${bed.dc2.http}   servers ${bed.dc2.server}`);
  await until(
    'dc2 getting its intermediate',
    30_000,
    () => json<CaStatus>(bed.dc2.http, 'GET', '/v1/connect/ca/status'),
    ({ State }) => State === 'ready',
  );
  await until(
    'dc1 seeing dc2',
    30_000,
    () => json<string[]>(bed.dc1.http, 'GET', '/v1/catalog/datacenters'),
    ({ length }) => length === 2,
  );
  const took = Date.now() - started;
  const { Stats } = await json<Self>(bed.dc2.http, 'GET', '/v1/agent/self');
  screen.line(`dc2's server certificate is good until ${Stats.tls?.internal_rpc_expires}, and renewed by itself`);
  const [used] = await json<readonly ListedInvitation[]>(bed.dc1.http, 'GET', '/v1/operator/federation/invitations');
  if (used?.State !== 'used') throw new Error('the invitation can be used again');
  screen.line(`the invitation: ${used.State}, by ${used.UsedBy}`);
  const again = await bed.start('dc3', invitation).then(
    () => undefined,
    (error: Error) => /this invitation was used by [^"\\]*/.exec(error.message)?.[0],
  );
  if (again === undefined) throw new Error('the invitation was good twice');
  screen.line(`dc3 with the same invitation: ${again}`);
  return {
    facts: `dc2 is part of the mesh ${took} ms after its start, and was given nothing but one line`,
    brief: `one line, one mesh after ${took} ms`,
  };
}

/** The default is deny: an intention comes first. */
export async function connectAllowed(bed: Bed, screen: Screen): Promise<Outcome> {
  await bed.startDb('dc2');
  await bed.startWeb();
  const refused = await ask(bed.upstreamPort, 'hello').then(
    () => false,
    () => true,
  );
  if (!refused) throw new Error('web reached db although it is not allowed');
  screen.line('without an intention: refused');
  await json(bed.dc2.http, 'PUT', '/v1/connect/intentions/exact?source=web&destination=db', { Action: 'allow' });
  screen.line('an intention written in dc2 allows it');
  return reachDb(bed, screen);
}

/** What a server port answers to HTTP/2 in plain text, bytes. */
function tryPlainText(port: number): Promise<number> {
  return new Promise((resolve) => {
    let bytes = 0;
    const socket = connect(port, '127.0.0.1', () => socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'));
    socket.on('data', (chunk) => (bytes += chunk.length));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(bytes));
  });
}
