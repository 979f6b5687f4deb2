import { isIP } from 'node:net';
import { IsthmusError } from '../../lib/errors.ts';
import { canonicalDatacenter } from '../../model/names.ts';
import { type AgentRole, agentNodeName, signAgentCert } from '../../pki/agent-certs.ts';
import { createIssuer, type Issuer } from '../../pki/issuer.ts';
import { generateKey, privateKeyFromPem, privateKeyToPem, spkiOf } from '../../pki/keys.ts';
import { attempting, type Command, type Io } from '../command.ts';
import { type Flags, UsageError } from '../flags.ts';
import { savePair, validity } from './new-files.ts';

const DEFAULT_DAYS = 365;
/** Certificates of one kind in a directory. */
const MAX_FILES = 10_000;

const WARNING = `==> WARNING: Server Certificates grants authority to become a
    server and access all state in the cluster including root keys
    and all ACL tokens. Do not distribute them to production hosts
    that are not server nodes. Store them as securely as CA keys.`;

export const tlsCertCreate: Command = {
  path: ['tls', 'cert', 'create'],
  synopsis: 'Make a certificate for an agent',
  about:
    'Writes DC-KIND-DOMAIN-N.pem and DC-KIND-DOMAIN-N-key.pem, N being the first number that is free. The authority ' +
    'is one that "isthmus tls ca create" made.',
  flags: [
    { name: 'server', kind: 'bool', about: 'For a server.' },
    { name: 'client', kind: 'bool', about: 'For a client agent.' },
    { name: 'cli', kind: 'bool', about: 'For users of the HTTP API.' },
    { name: 'dc', kind: 'text', placeholder: 'name', about: 'Datacenter of the agent; default dc1.' },
    { name: 'domain', kind: 'text', placeholder: 'name', about: 'Domain of the agents; default consul.' },
    { name: 'days', kind: 'number', placeholder: 'n', about: `Days that it is valid; default ${DEFAULT_DAYS}.` },
    {
      name: 'ca',
      kind: 'text',
      placeholder: 'file',
      about: 'Certificate of the authority; default DOMAIN-agent-ca.pem.',
    },
    { name: 'key', kind: 'text', placeholder: 'file', about: 'Key of the authority; default DOMAIN-agent-ca-key.pem.' },
    {
      name: 'node',
      kind: 'text',
      placeholder: 'name',
      about: 'With -server or -client: its node, for the name NODE.server.DC.DOMAIN or NODE.client.DC.DOMAIN.',
    },
    { name: 'additional-dnsname', kind: 'list', placeholder: 'name', about: 'A further host name; may be repeated.' },
    {
      name: 'additional-ipaddress',
      kind: 'list',
      placeholder: 'address',
      about: 'A further address beside 127.0.0.1; may be repeated.',
    },
  ],
  api: 'none',
  async run({ io, flags, json, print, complain, printJson }) {
    const role = roleOf(flags);
    const datacenter = canonicalDatacenter(flags.text('dc') || 'dc1');
    const domain = flags.text('domain') || 'consul';
    const node = flags.text('node');
    const days = flags.number('days', DEFAULT_DAYS);
    const ips = flags.list('additional-ipaddress');
    if (days < 1) throw new UsageError('-days must be at least 1');
    if (node !== '' && role === 'cli') throw new UsageError('-node requires -server or -client');
    const ofNode = node === '' ? undefined : agentNodeName(node, role, datacenter, domain);
    if (node !== '' && ofNode === undefined) throw new UsageError(`-node ${JSON.stringify(node)} is no host name`);
    for (const ip of ips) if (isIP(ip) === 0) throw new UsageError(`"${ip}" is not an IP address`);

    const caFile = flags.text('ca') || `${domain}-agent-ca.pem`;
    const caKeyFile = flags.text('key') || `${domain}-agent-ca-key.pem`;
    const issuer = attempting('Error reading the CA', () => readIssuer(io, caFile, caKeyFile));
    const [certFile, keyFile] = freeNames(io, `${datacenter}-${role}-${domain}`);
    const key = await generateKey({ type: 'ec', bits: 256 });
    const { pem } = signAgentCert(issuer, {
      spki: spkiOf(key),
      role,
      datacenter,
      domain,
      moreNames: [...(ofNode === undefined ? [] : [ofNode]), ...flags.list('additional-dnsname')],
      ips,
      ...validity(io.clock.now(), days),
    });
    attempting('Error saving the certificate', () => savePair(io, [certFile, pem], [keyFile, privateKeyToPem(key)]));
    if (json) {
      printJson({ Cert: certFile, Key: keyFile });
      return 0;
    }
    if (role === 'server') complain(WARNING);
    print(`==> Using ${caFile} and ${caKeyFile}`);
    for (const file of [certFile, keyFile]) print(`==> Saved ${file}`);
    return 0;
  },
};

function roleOf(flags: Flags): AgentRole {
  const [role, ...more] = (['server', 'client', 'cli'] as const).filter((name) => flags.bool(name));
  if (role === undefined || more.length > 0) throw new UsageError('Please provide either -server, -client, or -cli');
  return role;
}

function readIssuer(io: Io, caFile: string, keyFile: string): Issuer {
  const read = (path: string): string => {
    try {
      return io.readFile(path);
    } catch (cause) {
      const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
      throw new IsthmusError(
        'not_found',
        missing ? `${path} does not exist; "isthmus tls ca create" makes it` : `${path} can't be read`,
        { cause },
      );
    }
  };
  return createIssuer(read(caFile), privateKeyFromPem(read(keyFile)));
}

function freeNames(io: Io, prefix: string): readonly [cert: string, key: string] {
  for (let n = 0; n <= MAX_FILES; n += 1) {
    const [cert, key] = [`${prefix}-${n}.pem`, `${prefix}-${n}-key.pem`] as const;
    if (!io.exists(cert) && !io.exists(key)) return [cert, key];
  }
  throw new IsthmusError('conflict', "Could not find a filename that doesn't already exist");
}
