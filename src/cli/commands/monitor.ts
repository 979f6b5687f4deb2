import { readableLine } from '../../lib/readable-line.ts';
import { type Command, CommandFailure } from '../command.ts';

export const monitor: Command = {
  path: ['monitor'],
  synopsis: 'Show the log of an agent as it is written',
  about: 'Runs until you interrupt it. Shows only lines that the log_level of the agent lets through.',
  flags: [
    { name: 'log-level', kind: 'text', placeholder: 'level', about: 'Lowest level to show. Default info.' },
    { name: 'log-json', kind: 'bool', about: 'JSON lines on a terminal too. Elsewhere they always are.' },
  ],
  api: 'agent',
  async run({ client, flags, io }) {
    const signal = io.stopSignal();
    try {
      const lines = await client().agent.monitor(flags.text('log-level') || 'info', { signal });
      const shown = io.outIsTerminal && !flags.bool('log-json') ? readableLine : (line: string): string => line;
      for await (const line of wholeLines(lines)) io.out(shown(line));
    } catch (error) {
      // However the stream ends then: it was the reader who had enough.
      if (!signal.aborted) throw new CommandFailure('Error starting monitor', error);
    }
    return 0;
  },
};

/** A part of the stream may end within a line, and within a character. */
async function* wholeLines(parts: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const part of parts) {
    rest += decoder.decode(part, { stream: true });
    const end = rest.lastIndexOf('\n') + 1;
    for (const line of rest.slice(0, end).split(/(?<=\n)/)) if (line !== '') yield line;
    rest = rest.slice(end);
  }
  if (rest !== '') yield rest;
}
