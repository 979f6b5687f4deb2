import type { EnvoyStatus, EnvoyTypeStatus } from '../../model/envoy.ts';

/** What the Envoys of an agent were sent, confirmed and rejected, for people. */
export function statusLines(envoys: readonly EnvoyStatus[]): readonly string[] {
  if (envoys.length === 0) return ['No Envoy follows this agent.'];
  return envoys.flatMap((envoy, at) => [...(at === 0 ? [] : ['']), ...linesOf(envoy)]);
}

function linesOf({
  ProxyID,
  Service,
  Address,
  Protocol,
  ConnectedAt,
  Types,
  Rejected,
}: EnvoyStatus): readonly string[] {
  const types = Object.entries(Types);
  return [
    `${ProxyID} (service ${Service}): follows since ${ConnectedAt} from ${Address}, ${Protocol}`,
    ...types.flatMap(([name, type]) => typeLines(name, type)),
    Rejected.length === 0
      ? '  Nothing is rejected.'
      : `  Rejected: ${Rejected.length}. For each the Envoy goes on with what it had before.`,
    ...Rejected.map(
      ({ Type, Resource, Version, Error: reason, At }) =>
        `    ${Type} ${Resource} (version ${Version}) at ${At}: ${reason}`,
    ),
  ];
}

function typeLines(
  name: string,
  { Sent, SentVersion, AcknowledgedVersion, AcknowledgedAt, LastRejection }: EnvoyTypeStatus,
): readonly string[] {
  const of = (version: string | undefined): string => (version === undefined ? '' : ` ${version}`);
  const confirmed =
    AcknowledgedAt === undefined ? 'not confirmed yet' : `confirmed${of(AcknowledgedVersion)} at ${AcknowledgedAt}`;
  return [
    `  ${name.padEnd(4)} ${String(Sent).padStart(6)} sent, last${of(SentVersion)}; ${confirmed}`,
    ...(LastRejection === undefined
      ? []
      : [`${' '.repeat(14)}last rejected ${LastRejection.Version} at ${LastRejection.At}: ${LastRejection.Error}`]),
  ];
}
