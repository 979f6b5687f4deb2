import type { SidecarUpstream } from '../../model/sidecar.ts';

/** Whether a listener can stay as it is. */
export function sameUpstream(a: SidecarUpstream, b: SidecarUpstream): boolean {
  return (
    a.bindAddress === b.bindAddress &&
    a.bindPort === b.bindPort &&
    a.bindSocketPath === b.bindSocketPath &&
    a.bindSocketMode === b.bindSocketMode &&
    a.name === b.name &&
    a.datacenter === b.datacenter &&
    JSON.stringify(a.config) === JSON.stringify(b.config)
  );
}
