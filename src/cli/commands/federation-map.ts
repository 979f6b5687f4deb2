import type { Client } from '../../client/client.ts';
import { type DatacenterCoordinates, distance, isMeasured } from '../../model/coordinate.ts';
import { type Command, doing } from '../command.ts';
import { columns } from '../output.ts';
import { drawMap, type FederationMap } from './federation-svg.ts';

const INCOMPLETE = 1;

export const federationMap: Command = {
  path: ['federation', 'map'],
  synopsis: 'Show how far the datacenters are from each other',
  about:
    'Each row is what the servers of one datacenter have measured. -svg draws a picture: isthmus federation map ' +
    '-svg > map.svg. ' +
    'Exit code 1 when a datacenter could not be asked.',
  flags: [{ name: 'svg', kind: 'bool', about: 'Draw an SVG picture.' }],
  api: 'agent',
  async run({ client, flags, json, print, printJson }) {
    const map = await mapOf(client());
    if (flags.bool('svg')) print(drawMap(map));
    else if (json) printJson(map);
    else print(table(map));
    return map.Datacenters.every(({ Reached }) => Reached) ? 0 : INCOMPLETE;
  },
};

async function mapOf(api: Client): Promise<FederationMap> {
  const names = await doing('Error listing the datacenters', api.catalog.datacenters());
  const rows = [...names].sort().map(async (datacenter) => {
    const seen = await api.coordinates.datacenters({ datacenter }).catch(() => undefined);
    return {
      Datacenter: datacenter,
      Reached: seen !== undefined,
      RttMs: seen === undefined ? {} : timesOf(seen, datacenter),
    };
  });
  return { Datacenters: await Promise.all(rows) };
}

/** Milliseconds to the nearest server of each other datacenter that was measured. */
function timesOf(seen: readonly DatacenterCoordinates[], from: string): Readonly<Record<string, number>> {
  const own = seen.find(({ Datacenter }) => Datacenter === from)?.Coordinates[0]?.Coord;
  const times: Record<string, number> = {};
  for (const { Datacenter, Coordinates } of seen) {
    if (Datacenter === from || own === undefined) continue;
    const measured = Coordinates.filter(({ Coord }) => isMeasured(Coord)).map(
      ({ Coord }) => distance(own, Coord) * 1_000,
    );
    if (measured.length > 0) times[Datacenter] = Math.min(...measured);
  }
  return times;
}

function table({ Datacenters }: FederationMap): string {
  const names = Datacenters.map(({ Datacenter }) => Datacenter);
  const cell = (from: string, to: string, ms: number | undefined): string => {
    if (from === to) return '-';
    return ms === undefined ? '?' : `${ms.toFixed(3)}ms`;
  };
  const rows = Datacenters.map(({ Datacenter, Reached, RttMs }) => [
    Datacenter,
    ...names.map((to) => (Reached ? cell(Datacenter, to, RttMs[to]) : 'not reached')),
  ]);
  return columns([['From \\ to', ...names], ...rows]).replaceAll(/ +$/gm, '');
}
