import type { Metrics } from '../../telemetry/types.ts';
import { XDS_TYPE_INFO, type XdsType } from './types.ts';

/** What the xDS server counts. */
export interface XdsMeters {
  sent(type: XdsType, resources: number): void;
  /** A message that an Envoy rejected. */
  rejected(type: XdsType): void;
  /** A stream or connection that was refused or ended, by the reason. */
  refused(reason: string): void;
}

export function createXdsMeters(metrics: Metrics, streams: () => number): XdsMeters {
  metrics.gauge({ name: 'isthmus_xds_streams', help: 'Envoys that follow this agent' }, (set) => set(streams()));
  const sent = metrics.counter({
    name: 'isthmus_xds_resources_sent_total',
    help: 'Resources sent to Envoys, by type',
    labels: ['type'],
  });
  const rejected = metrics.counter({
    name: 'isthmus_xds_rejected_total',
    help: 'Messages that an Envoy rejected, by type; it goes on with what it had',
    labels: ['type'],
  });
  const refused = metrics.counter({
    name: 'isthmus_xds_refused_total',
    help: 'Streams and connections of Envoys that were refused or ended, by reason',
    labels: ['reason'],
  });
  return {
    sent: (type, resources) => sent.add(resources, { type: XDS_TYPE_INFO[type].service }),
    rejected: (type) => rejected.add(1, { type: XDS_TYPE_INFO[type].service }),
    refused: (reason) => refused.add(1, { reason }),
  };
}
