import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

const removePeer: Command = {
  path: ['operator', 'raft', 'remove-peer'],
  synopsis: 'Take a server that has failed off the list of servers',
  about: 'One that lives is refused: stop it first. Nothing is lost with it, since the servers share a store.',
  flags: [
    { name: 'address', kind: 'text', placeholder: 'address', about: 'Its address with port, as list-peers shows it.' },
    { name: 'id', kind: 'text', placeholder: 'id', about: 'Its node ID.' },
  ],
  api: 'server',
  async run({ client, flags, print }) {
    const [address, id] = [flags.text('address'), flags.text('id')];
    if (address === '' && id === '')
      throw new UsageError('Error removing peer: an address or id is required for the peer to remove');
    if (address !== '' && id !== '') throw new UsageError('Error removing peer: cannot give both an address and id');
    const request = { method: 'DELETE', path: '/v1/operator/raft/peer', query: { address, id } } as const;
    await doing('Error removing peer', client().transport.text(request));
    print(`Removed peer with ${address === '' ? `id "${id}"` : `address "${address}"`}`);
    return 0;
  },
};

const transferLeader: Command = {
  path: ['operator', 'raft', 'transfer-leader'],
  synopsis: 'Let another server lead the datacenter',
  about: 'The server that leads gives it up. Which one follows can’t be chosen, so -id is refused by the servers.',
  flags: [{ name: 'id', kind: 'text', placeholder: 'id', about: 'Node ID of the server that shall lead.' }],
  api: 'server',
  async run({ client, flags, print }) {
    const request = {
      method: 'POST',
      path: '/v1/operator/raft/transfer-leader',
      query: { id: flags.text('id') },
    } as const;
    await doing('Error transferring leadership', client().transport.text(request));
    print('Success');
    return 0;
  },
};

export const operatorRaftCommands: readonly Command[] = [removePeer, transferLeader];
