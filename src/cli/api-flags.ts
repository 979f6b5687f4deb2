import { type ClientSettings, clientOptions } from '../client/env.ts';
import type { ClientOptions } from '../client/options.ts';
import type { Command, Io } from './command.ts';
import type { FlagSpec, Flags } from './flags.ts';

const AGENT_FLAGS: readonly FlagSpec[] = [
  {
    name: 'http-addr',
    kind: 'text',
    placeholder: 'address',
    about:
      'Address of the agent: host:port, http(s)://host:port or unix:///path. Else ISTHMUS_HTTP_ADDR, ' +
      'CONSUL_HTTP_ADDR or 127.0.0.1:8500.',
  },
  {
    name: 'token',
    kind: 'text',
    placeholder: 'secret',
    about: 'ACL token. Else ISTHMUS_HTTP_TOKEN or CONSUL_HTTP_TOKEN.',
  },
  { name: 'token-file', kind: 'text', placeholder: 'file', about: 'File with the ACL token.' },
  {
    name: 'ca-file',
    kind: 'text',
    placeholder: 'file',
    about: "PEM file with the authorities of the agent's certificate. Else CONSUL_CACERT.",
  },
  {
    name: 'ca-path',
    kind: 'text',
    placeholder: 'directory',
    about: 'Directory of such files; -ca-file counts over it. Else CONSUL_CAPATH.',
  },
  {
    name: 'client-cert',
    kind: 'text',
    placeholder: 'file',
    about: 'PEM file with the client certificate. Else CONSUL_CLIENT_CERT.',
  },
  { name: 'client-key', kind: 'text', placeholder: 'file', about: 'PEM file with its key. Else CONSUL_CLIENT_KEY.' },
  {
    name: 'tls-server-name',
    kind: 'text',
    placeholder: 'name',
    about: "Name that the agent's certificate must carry. Else CONSUL_TLS_SERVER_NAME.",
  },
  { name: 'namespace', kind: 'text', placeholder: 'name', about: 'Only default: there is one namespace.' },
  { name: 'partition', kind: 'text', placeholder: 'name', about: 'Only default: there is one partition.' },
];

const SERVER_FLAGS: readonly FlagSpec[] = [
  { name: 'datacenter', kind: 'text', placeholder: 'name', about: "Datacenter to ask. Else the agent's own." },
  { name: 'stale', kind: 'bool', about: 'Let any server answer, even if it may be behind.' },
];

const FORMAT: FlagSpec = {
  name: 'format',
  kind: 'text',
  placeholder: 'pretty|json',
  about: 'How to print the result.',
};

/** The flags that a command takes beside its own. */
export function sharedFlags(command: Command): readonly FlagSpec[] {
  if (command.api === 'none') return [FORMAT];
  return command.api === 'agent' ? [FORMAT, ...AGENT_FLAGS] : [FORMAT, ...AGENT_FLAGS, ...SERVER_FLAGS];
}

export function optionsFromFlags(flags: Flags, io: Io): ClientOptions {
  const text = (name: string): string | undefined => (flags.has(name) ? flags.text(name) : undefined);
  const given = {
    httpAddr: text('http-addr'),
    token: text('token'),
    tokenFile: text('token-file'),
    datacenter: text('datacenter'),
    namespace: text('namespace'),
    partition: text('partition'),
    caFile: text('ca-file'),
    caPath: text('ca-path'),
    clientCert: text('client-cert'),
    clientKey: text('client-key'),
    tlsServerName: text('tls-server-name'),
    stale: flags.bool('stale') ? true : undefined,
  };
  const settings = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return clientOptions(settings as ClientSettings, { env: io.env, readFile: io.readFile, listFiles: io.listFiles });
}
