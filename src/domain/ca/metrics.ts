import type { RotationPhase } from '../../model/ca.ts';
import type { CaStatus } from '../../model/requests.ts';
import type { Counter, Metrics } from '../../telemetry/types.ts';

export interface CaMeters {
  readonly leafSigned: Counter;
  readonly leafRefused: Counter;
  readonly intermediateSigned: Counter;
  readonly failures: Counter;
}

const PHASES: readonly RotationPhase[] = ['idle', 'distributing', 'moving', 'draining'];

export interface Measured {
  status(): CaStatus;
  phase(): RotationPhase;
  /** Requests for leaves that were told to come back. */
  waiting(): number;
}

export function createMeters(metrics: Metrics, { status, phase, waiting }: Measured): CaMeters {
  metrics.gauge(
    { name: 'isthmus_ca_leaf_waiting', help: 'Requests for leaf certificates that were given a later slot' },
    (set) => set(waiting()),
  );
  metrics.gauge({ name: 'isthmus_ca_root_expiry_seconds', help: 'Seconds until the active root expires' }, (set) => {
    const { State, RootExpiresIn } = status();
    if (State !== 'uninitialized') set(RootExpiresIn);
  });
  metrics.gauge(
    { name: 'isthmus_ca_intermediate_expiry_seconds', help: 'Seconds until the certificate that signs leaves expires' },
    (set) => {
      const { State, IntermediateExpiresIn } = status();
      if (State !== 'uninitialized') set(IntermediateExpiresIn);
    },
  );
  metrics.gauge(
    {
      name: 'isthmus_ca_rotation_phase',
      help: '1 for the phase of the root rotation, 0 for the others',
      labels: ['phase'],
    },
    (set) => {
      const now = phase();
      for (const known of PHASES) set(known === now ? 1 : 0, { phase: known });
    },
  );
  return {
    leafSigned: metrics.counter({
      name: 'isthmus_ca_leaf_signed_total',
      help: 'Leaf certificates signed',
      labels: ['kind'],
    }),
    leafRefused: metrics.counter({
      name: 'isthmus_ca_leaf_refused_total',
      help: 'Requests for leaf certificates refused',
      labels: ['code'],
    }),
    intermediateSigned: metrics.counter({
      name: 'isthmus_ca_intermediate_signed_total',
      help: 'Intermediates signed for other datacenters',
    }),
    failures: metrics.counter({
      name: 'isthmus_ca_renewal_failures_total',
      help: 'Failed attempts to renew a CA certificate or to reach the primary for it',
    }),
  };
}
