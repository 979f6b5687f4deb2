import type { Io } from '../command.ts';
import { attempting } from '../command.ts';
import { hostPort } from '../commands/proxy-options.ts';
import type { Flags } from '../flags.ts';
import type { AgentAddress } from './bootstrap.ts';

const DEFAULT = '127.0.0.1:8502';

/** Where the agent serves xDS: `-grpc-addr`, the environment, or the default. `https://` or a CA file means TLS. */
export function agentAddress(flags: Flags, io: Pick<Io, 'env' | 'readFile'>): AgentAddress {
  const { env } = io;
  const text = flags.text('grpc-addr') || env.ISTHMUS_GRPC_ADDR || env.CONSUL_GRPC_ADDR || DEFAULT;
  if (text.startsWith('unix://')) return { kind: 'unix', path: text.slice('unix://'.length) };
  const caFile = flags.text('grpc-ca-file') || env.ISTHMUS_GRPC_CACERT || env.CONSUL_GRPC_CACERT || '';
  const { address, port } = hostPort(text.replace(/^https?:\/\//, ''), 'grpc-addr');
  const host = address === 'localhost' ? '127.0.0.1' : address;
  if (caFile === '' && !text.startsWith('https://')) return { kind: 'tcp', host, port };
  const caPem = caFile === '' ? '' : attempting('Error reading -grpc-ca-file', () => io.readFile(caFile));
  return { kind: 'tcp', host, port, caPem };
}
