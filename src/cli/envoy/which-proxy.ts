import type { AgentService } from '../../client/agent.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Options } from '../../model/proxy-options.ts';
import { type CommandContext, doing } from '../command.ts';

export interface EnvoyProxy {
  readonly proxyId: string;
  /** The service that it stands for. */
  readonly service: string;
  readonly datacenter: string;
  /** Opaque options of its registration, over those of proxy-defaults. */
  readonly config: Options;
  /** Of its upstreams. */
  readonly upstreamConfigs: readonly Options[];
}

/** ID of the proxy that the command line names; undefined when it names none. */
export async function proxyIdOf({ flags, io, client }: CommandContext): Promise<string | undefined> {
  const serviceId = flags.text('sidecar-for');
  const proxyId = flags.text('proxy-id') || (serviceId === '' ? (io.env.CONNECT_PROXY_ID ?? '') : '');
  if (serviceId !== '' && proxyId !== '')
    throw new IsthmusError('invalid_argument', 'give either -sidecar-for or -proxy-id');
  if (serviceId === '') return proxyId || undefined;
  const services = Object.values(await doing('Error reading the services of the agent', client().agent.services()));
  const sidecars = services.filter(
    (each) => each.Kind === 'connect-proxy' && each.Proxy.DestinationServiceID === serviceId,
  );
  const [sidecar] = sidecars;
  if (sidecar === undefined) throw new IsthmusError('not_found', `No sidecar proxy registered for ${serviceId}`);
  if (sidecars.length > 1) {
    const ids = sidecars.map(({ ID }) => ID).sort();
    throw new IsthmusError(
      'rejected',
      `More than one sidecar proxy registered for ${serviceId}. Start proxy with -proxy-id and one of the following ` +
        `IDs: ${ids.join(', ')}`,
    );
  }
  return sidecar.ID;
}

export async function whichProxy(context: CommandContext): Promise<EnvoyProxy> {
  const proxyId = await proxyIdOf(context);
  if (proxyId === undefined) throw new IsthmusError('invalid_argument', 'give either -sidecar-for or -proxy-id');
  const client = context.client();
  const proxy = await doing(
    `Error reading proxy ${JSON.stringify(proxyId)} from the agent`,
    client.agent.service(proxyId),
  );
  if (proxy.Kind !== 'connect-proxy')
    throw new IsthmusError(
      'rejected',
      `${JSON.stringify(proxyId)} is no sidecar, but ${kindName(proxy)}: give the ID of a sidecar with -proxy-id`,
    );
  const entries = await doing('Error reading proxy-defaults', client.config.list('proxy-defaults'));
  const defaults = entries.value.find(({ Name }) => Name === 'global') as { readonly Config?: Options } | undefined;
  return {
    proxyId,
    service: proxy.Proxy.DestinationServiceName || proxy.Service,
    datacenter: proxy.Datacenter,
    upstreamConfigs: (proxy.Proxy.Upstreams ?? []).map(({ Config }) => Config ?? {}),
    config: { ...defaults?.Config, ...proxy.Proxy.Config },
  };
}

function kindName({ Kind }: AgentService): string {
  return Kind === undefined ? 'a service' : `a ${Kind}`;
}
