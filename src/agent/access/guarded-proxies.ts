import { hasCode } from '../../lib/errors.ts';
import { linkSignals } from '../../lib/signals.ts';
import type { Callers } from '../../model/rights.ts';
import type { LocalState } from '../local/types.ts';
import type { ProxyFeeds } from '../proxycfg/proxy-configs.ts';
import type { ProxyRequest } from '../proxycfg/request.ts';
import type { RequireService } from './rights-of.ts';

export interface ProxyAccessDeps {
  readonly proxies: ProxyFeeds;
  readonly local: Pick<LocalState, 'serviceForm'>;
  readonly callers: Pick<Callers, 'onChange'>;
  /** Rejects with `permission_denied` unless the token may write the service. */
  readonly require: RequireService;
}

/** Proxies, for those who may write the service that each acts for; a feed ends with the right to it. */
export function guardedProxies({ proxies, local, callers, require }: ProxyAccessDeps): ProxyFeeds {
  /** The service that a proxy acts for; undefined when there is none yet. */
  const behind = (request: ProxyRequest): string | undefined => {
    if (request.kind === 'standalone') return request.service;
    if (request.kind === 'sidecar-for') return local.serviceForm(request.serviceId)?.Service;
    return local.serviceForm(request.proxyId)?.Proxy.DestinationServiceName;
  };
  return {
    async open(request, signal) {
      const service = behind(request);
      if (service === undefined) return proxies.open(request, signal); // says that there is no such proxy
      await require(service, { ...request, signal });
      const life = linkSignals(signal);
      const unhook = callers.onChange(() => {
        require(service, { ...request, signal: life.signal }).catch((error: unknown) => {
          if (hasCode(error, 'permission_denied')) life.abort(error);
        });
      });
      life.signal.addEventListener('abort', () => {
        unhook();
        life.release();
      });
      return proxies.open(request, life.signal);
    },
  };
}
