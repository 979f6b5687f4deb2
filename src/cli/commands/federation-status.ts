import { type Command, doing } from '../command.ts';
import { columns, remaining } from '../output.ts';

export const federationStatus: Command = {
  path: ['federation', 'status'],
  synopsis: 'List the links to servers of other datacenters',
  about: 'Exit code 1 when a link is down or refused.',
  flags: [],
  api: 'agent',
  async run({ client, io, json, printJson, print }) {
    const links = await doing('Error listing the links', client().operator.links());
    if (json) {
      printJson(links);
    } else if (links.length === 0) {
      print('This server has no links. Name a server of another datacenter in "retry_join_wan".');
    } else {
      const now = io.clock.now();
      const rows = links.map(({ datacenter, node, address, state, rttMs }) => [
        datacenter || '-',
        node || '-',
        address,
        state.kind,
        remaining(Math.max(0, (now - state.since) / 1_000)),
        rttMs === undefined || rttMs === null ? '-' : `${rttMs.toFixed(3)}ms`,
        state.reason ?? '',
      ]);
      print(columns([['DC', 'Node', 'Address', 'State', 'For', 'RTT', 'Reason'], ...rows]).replaceAll(/ +$/gm, ''));
    }
    return links.some((link) => link.state.kind === 'down' || link.state.kind === 'refused') ? 1 : 0;
  },
};
