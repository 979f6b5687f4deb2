import { type Command, CommandFailure } from '../command.ts';

export const monitor: Command = {
  path: ['monitor'],
  synopsis: 'Show the log of an agent as it is written',
  about: 'Runs until you interrupt it. Shows only lines that the log_level of the agent lets through.',
  flags: [
    { name: 'log-level', kind: 'text', placeholder: 'level', about: 'Lowest level to show. Default info.' },
    { name: 'log-json', kind: 'bool', about: 'Accepted, as by Consul; lines are always JSON.' },
  ],
  api: 'agent',
  async run({ client, flags, io }) {
    const signal = io.stopSignal();
    try {
      const lines = await client().agent.monitor(flags.text('log-level') || 'info', { signal });
      for await (const part of lines) io.out(Buffer.from(part).toString());
    } catch (error) {
      // However the stream ends then: it was the reader who had enough.
      if (!signal.aborted) throw new CommandFailure('Error starting monitor', error);
    }
    return 0;
  },
};
