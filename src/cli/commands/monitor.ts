import { type Command, CommandFailure } from '../command.ts';

export const monitor: Command = {
  path: ['monitor'],
  synopsis: 'Show the log of an agent as it is written',
  about: 'Until it is interrupted. Shows no more than the agent’s own log_level lets through.',
  flags: [
    { name: 'log-level', kind: 'text', placeholder: 'level', about: 'Least level; default info.' },
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
