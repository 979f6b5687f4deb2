import { distance } from '../../model/coordinate.ts';
import { type Command, doing } from '../command.ts';

const FAILED = 1;

export const rtt: Command = {
  path: ['rtt'],
  synopsis: 'Estimate the round-trip time between two nodes',
  argsUsage: 'NODE1 [NODE2]',
  about:
    'Without NODE2, it is the node of the agent that you ask. With -wan, nodes are servers, written ' +
    'NODE.DATACENTER; the times ' +
    'are those that the asked server measured on its links.',
  flags: [{ name: 'wan', kind: 'bool', about: 'Servers of different datacenters.' }],
  api: 'agent',
  async run({ client, args, flags, print, complain, json, printJson }) {
    const [first, second, ...more] = args;
    if (first === undefined || more.length > 0) {
      complain('One or two node names must be specified');
      return FAILED;
    }
    const wan = flags.bool('wan');
    const api = client();
    const other = second ?? (await ownName());
    if (wan && [first, other].some((node) => node.split('.').length !== 2)) {
      complain('Node names must be specified as <node name>.<datacenter> with -wan');
      return FAILED;
    }
    const coordinates = await doing('Error getting coordinates', wan ? wanCoordinates() : lanCoordinates());
    for (const node of [first, other]) {
      if (coordinates.has(node)) continue;
      complain(`Could not find a coordinate for node ${JSON.stringify(node)}`);
      return FAILED;
    }
    const [a, b] = [coordinates.get(first), coordinates.get(other)];
    if (a === undefined || b === undefined) return FAILED;
    const ms = distance(a, b) * 1_000;
    if (json) printJson({ Node1: first, Node2: other, RttMs: ms });
    else print(`Estimated ${first} <-> ${other} rtt: ${ms.toFixed(3)} ms (using ${wan ? 'WAN' : 'LAN'} coordinates)`);
    return 0;

    async function ownName(): Promise<string> {
      const { Config } = await doing('Unable to look up agent info', api.agent.self());
      return wan ? `${Config.NodeName}.${Config.Datacenter}` : Config.NodeName;
    }

    async function wanCoordinates() {
      const datacenters = await api.coordinates.datacenters();
      return new Map(
        datacenters.flatMap(({ Datacenter, Coordinates }) =>
          Coordinates.map(({ Node, Coord }) => [`${Node}.${Datacenter}`, Coord] as const),
        ),
      );
    }

    async function lanCoordinates() {
      return new Map((await api.coordinates.nodes()).map(({ Node, Coord }) => [Node, Coord] as const));
    }
  },
};
