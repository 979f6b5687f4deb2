import { type Command, doing } from '../command.ts';

export const connectCaGetConfig: Command = {
  path: ['connect', 'ca', 'get-config'],
  synopsis: 'Show the configuration of the certificate authority',
  flags: [],
  api: 'server',
  async run({ client, print }) {
    const configuration = await doing('Error querying CA configuration', client().ca.configuration());
    print(JSON.stringify(configuration, null, '\t'));
    return 0;
  },
};
