import type { XdsPorts } from '../../client/agent.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Io } from '../command.ts';
import { attempting } from '../command.ts';
import { hostPort } from '../commands/proxy-options.ts';
import type { Flags } from '../flags.ts';
import type { AgentAddress } from './bootstrap.ts';

type AgentIo = Pick<Io, 'env' | 'readFile' | 'listFiles'>;

const HOST = '127.0.0.1';
const PORT = 8_502;

/** `-grpc-addr`, or the environment; undefined when neither says where the agent serves xDS. */
export function givenAddress(flags: Flags, { env }: Pick<Io, 'env'>): string | undefined {
  return flags.text('grpc-addr') || env.ISTHMUS_GRPC_ADDR || env.CONSUL_GRPC_ADDR || undefined;
}

/**
 * Where the agent serves xDS: what was given, else the port on this machine that the agent says is open, the one with
 * TLS when a CA was given or no other is open. `https://` or a CA file means TLS.
 */
export function agentAddress(flags: Flags, io: AgentIo, ports?: XdsPorts): AgentAddress {
  const text = givenAddress(flags, io);
  if (text === undefined) return openPort(authorities(flags, io), ports);
  if (text.startsWith('unix://')) return { kind: 'unix', path: text.slice('unix://'.length) };
  const caPem = authorities(flags, io);
  const { address, port } = hostPort(text.replace(/^https?:\/\//, ''), 'grpc-addr');
  const host = address === 'localhost' ? HOST : address;
  if (caPem === undefined && !text.startsWith('https://')) return { kind: 'tcp', host, port };
  return { kind: 'tcp', host, port, caPem: caPem ?? '' };
}

function openPort(caPem: string | undefined, { Plaintext = -1, TLS = -1 }: Partial<XdsPorts> = {}): AgentAddress {
  if (caPem === undefined && (Plaintext > 0 || TLS <= 0))
    return { kind: 'tcp', host: HOST, port: Plaintext > 0 ? Plaintext : PORT };
  return { kind: 'tcp', host: HOST, port: TLS > 0 ? TLS : PORT, caPem: caPem ?? '' };
}

function authorities(flags: Flags, { env, ...io }: AgentIo): string | undefined {
  const file = flags.text('grpc-ca-file') || env.ISTHMUS_GRPC_CACERT || env.CONSUL_GRPC_CACERT || '';
  if (file !== '') return attempting('Error reading -grpc-ca-file', () => io.readFile(file));
  const folder = flags.text('grpc-ca-path') || env.ISTHMUS_GRPC_CAPATH || env.CONSUL_GRPC_CAPATH || '';
  if (folder !== '') return attempting('Error reading -grpc-ca-path', () => pemOf(folder, io));
  return undefined;
}

/** The certificates of all files in a directory. */
export function pemOf(folder: string, io: Pick<Io, 'readFile' | 'listFiles'>): string {
  const files = io.listFiles(folder);
  if (files.length === 0) throw new IsthmusError('invalid_argument', `there is no file in ${folder}`);
  return files.map((file) => `${io.readFile(file).trimEnd()}\n`).join('');
}
