import { IsthmusError } from '../../lib/errors.ts';
import type { Io } from '../command.ts';
import { attempting } from '../command.ts';
import { hostPort } from '../commands/proxy-options.ts';
import type { Flags } from '../flags.ts';
import type { AgentAddress } from './bootstrap.ts';

type AgentIo = Pick<Io, 'env' | 'readFile' | 'listFiles'>;

const DEFAULT = '127.0.0.1:8502';

/** Where the agent serves xDS: `-grpc-addr`, the environment, or the default. `https://` or a CA file means TLS. */
export function agentAddress(flags: Flags, io: AgentIo): AgentAddress {
  const { env } = io;
  const text = flags.text('grpc-addr') || env.ISTHMUS_GRPC_ADDR || env.CONSUL_GRPC_ADDR || DEFAULT;
  if (text.startsWith('unix://')) return { kind: 'unix', path: text.slice('unix://'.length) };
  const caPem = authorities(flags, io);
  const { address, port } = hostPort(text.replace(/^https?:\/\//, ''), 'grpc-addr');
  const host = address === 'localhost' ? '127.0.0.1' : address;
  if (caPem === undefined && !text.startsWith('https://')) return { kind: 'tcp', host, port };
  return { kind: 'tcp', host, port, caPem: caPem ?? '' };
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
