import type { LoadedConfig, RuntimeConfig } from '../../config/types.ts';
import { Answers } from '../../edge/dns/answers.ts';
import { createDnsServer, type DnsServer } from '../../edge/dns/dns-server.ts';
import { Recursors } from '../../edge/dns/recursors.ts';
import { Resolver } from '../../edge/dns/resolver.ts';
import type { Clock } from '../../lib/clock.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import { WatchPool } from '../../rpc/subscribe/watch-pool.ts';
import { type Logger, type Metrics, noMetrics } from '../../telemetry/types.ts';

export interface DnsDeps {
  readonly loaded: LoadedConfig;
  readonly contract: ServerContract;
  /** The agent's token for those who ask it without one; '' is anonymous. */
  readonly token: () => string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

export interface Dns extends DnsServer {
  /** Takes over everything but the domains. */
  configure(config: RuntimeConfig): void;
}

/** The DNS server with the listeners and limits of the configuration. */
export function createDns(deps: DnsDeps): Dns {
  const { contract, clock, metrics } = deps;
  const { config: started } = deps.loaded;
  const log = deps.log.child({ component: 'dns' });
  // Its own: what is asked here comes and goes with the questions, the agent's watches are few and stay.
  const pool = new WatchPool({ contract, clock, log, metrics: noMetrics });
  const partsOf = ({ dns, datacenter, nodeName, translateWanAddrs }: RuntimeConfig) => {
    const answers = new Answers({ pool, contract, clock }, dns.allowStale ? dns.maxStaleMs : 0);
    const recursors = new Recursors(clock, {
      addresses: dns.recursors,
      timeoutMs: dns.recursorTimeoutMs,
      ...(dns.recursorStrategy === 'random' ? { random: Math.random } : {}),
    });
    const resolver = new Resolver(
      { answers, contract, recursors, token: deps.token, now: () => clock.now(), random: Math.random },
      { ...dns, datacenter, node: nodeName, translateWanAddrs },
    );
    const { udpAnswerLimit, udpMaxSize, rateLimit, enableTruncate, disableCompression } = dns;
    const limits = { udpAnswerLimit, udpMaxSize, rateLimit, enableTruncate, compress: !disableCompression };
    return { answers, recursors, resolver, limits };
  };
  let parts = partsOf(started);
  const server = createDnsServer(
    {
      resolve: (question, signal) => parts.resolver.resolve(question, signal),
      recursors: () => parts.recursors,
      limits: () => parts.limits,
      clock,
      log,
      metrics,
    },
    {
      listeners: started.listeners.dns.flatMap((address) => (address.kind === 'tcp' ? [address] : [])),
      maxConnectionsPerClient: started.limits.dnsMaxConnsPerClient,
    },
  );
  return {
    name: server.name,
    addresses: server.addresses,
    configure({ dns }) {
      const { domain, altDomain } = started.dns;
      parts.answers.close();
      parts = partsOf({ ...started, dns: { ...dns, domain, altDomain } });
    },
    onFailure: server.onFailure,
    start: (signal) => server.start(signal),
    async stop() {
      await server.stop();
      parts.answers.close();
      await pool.stop();
    },
  };
}
