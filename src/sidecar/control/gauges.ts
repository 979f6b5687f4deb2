import type { Clock } from '../../lib/clock.ts';
import type { SidecarGauges } from '../meters.ts';
import type { Instances } from '../outbound/instances.ts';
import type { OpenConnections } from '../wire/open-connections.ts';
import type { Trust } from '../wire/trust.ts';

export interface Gauged {
  readonly inboundOpen: OpenConnections;
  readonly outboundOpen: OpenConnections;
  readonly inboundTunnels: OpenConnections;
  readonly instances: () => Instances;
  /** Undefined before the first certificate. */
  readonly trust: () => Trust | undefined;
}

/** What is read off a sidecar when its metrics are scraped. */
export function stateGauges(clock: Clock, of: Gauged): SidecarGauges {
  const left = (set: (value: number) => void, until: (trust: Trust) => number): void => {
    const trust = of.trust();
    if (trust !== undefined) set((until(trust) - clock.now()) / 1_000);
  };
  return {
    connections: (set) => {
      set(of.inboundOpen.size, { direction: 'inbound' });
      set(of.outboundOpen.size, { direction: 'outbound' });
    },
    tunnels: (set) => {
      set(of.inboundTunnels.size, { direction: 'inbound' });
      set(of.instances().tunnels, { direction: 'outbound' });
    },
    leftOut: (set) => set(of.instances().leftOut(clock.steady())),
    leafExpiry: (set) => left(set, ({ leafNotAfter }) => leafNotAfter),
    rootExpiry: (set) => left(set, ({ roots }) => Math.min(...roots.map(({ notAfter }) => notAfter))),
  };
}
