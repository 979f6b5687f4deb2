import type { SidecarTarget } from '../../client/sidecar-source.ts';
import { type FlagSpec, type Flags, UsageError } from '../flags.ts';

export interface HostPort {
  readonly address: string;
  readonly port: number;
}

export const PROXY_FLAGS: readonly FlagSpec[] = [
  { name: 'sidecar-for', kind: 'text', placeholder: 'id', about: 'Be the sidecar of the service with this ID.' },
  { name: 'proxy-id', kind: 'text', placeholder: 'id', about: 'Be the registered proxy with this ID.' },
  {
    name: 'service',
    kind: 'text',
    placeholder: 'name',
    about: 'Be a proxy with the identity of this service, without a registration.',
  },
  {
    name: 'service-addr',
    kind: 'text',
    placeholder: 'host:port',
    about: 'With -service: address of the application that inbound connections go to.',
  },
  {
    name: 'listen',
    kind: 'text',
    placeholder: 'host:port',
    about: 'With -service: address for inbound connections of the mesh.',
  },
  {
    name: 'upstream',
    kind: 'list',
    placeholder: 'name[.dc]:port',
    about: 'With -service: an upstream (name, datacenter) and its local port.',
  },
  { name: 'register', kind: 'bool', about: 'With -service and -listen: register the proxy, so that others find it.' },
  { name: 'register-id', kind: 'text', placeholder: 'id', about: 'ID for -register.' },
  { name: 'log-level', kind: 'text', placeholder: 'level', about: 'debug, info, warn or error. Default info.' },
  {
    name: 'metrics-addr',
    kind: 'text',
    placeholder: 'host:port',
    about: 'Address of the metrics page. Default a free port of 127.0.0.1.',
  },
];

export function hostPort(text: string, flag: string): HostPort {
  const match = /^(\[[^\]]+\]|[^:]*):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    throw new UsageError(`invalid value ${JSON.stringify(text)} for flag -${flag}: must be host:port`);
  }
  return { address: (match[1] || '0.0.0.0').replace(/^\[|\]$/g, ''), port };
}

/** Which proxy to be, as the command line says; `undefined` when it does not. */
export function proxyTarget(flags: Flags): SidecarTarget | undefined {
  if (flags.has('proxy-id')) return { kind: 'proxy', proxyId: flags.text('proxy-id') };
  if (flags.has('sidecar-for')) return { kind: 'sidecar-for', serviceId: flags.text('sidecar-for') };
  const service = flags.text('service');
  if (service === '') return undefined;
  if (flags.has('listen') !== flags.has('service-addr')) {
    throw new UsageError('-listen and -service-addr go together: inbound connections need both.');
  }
  for (const upstream of flags.list('upstream')) {
    if (!/^[^:]+:[0-9]{1,5}$/.test(upstream)) {
      throw new UsageError(`invalid value ${JSON.stringify(upstream)} for flag -upstream: must be name[.dc]:port`);
    }
  }
  return {
    kind: 'standalone',
    service,
    upstreams: flags.list('upstream'),
    ...(flags.has('listen')
      ? {
          listen: hostPort(flags.text('listen'), 'listen'),
          local: hostPort(flags.text('service-addr'), 'service-addr'),
        }
      : {}),
  };
}
