import { type Command, doing } from '../command.ts';
import { columns } from '../output.ts';

export const operatorRaftListPeers: Command = {
  path: ['operator', 'raft', 'list-peers'],
  synopsis: 'List the servers of the datacenter',
  flags: [],
  api: 'server',
  async run({ client, json, printJson, print }) {
    const servers = await doing('Error getting peers', client().operator.raftConfiguration());
    if (json) {
      printJson(servers);
      return 0;
    }
    const rows = servers.map((server) => [
      server.Node,
      server.ID,
      server.Address,
      server.Leader ? 'leader' : 'follower',
      String(server.Voter),
      server.ProtocolVersion,
    ]);
    print(columns([['Node', 'ID', 'Address', 'State', 'Voter', 'RaftProtocol'], ...rows]));
    return 0;
  },
};
