import { agentRead } from '../../../agent/access/rules.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import type { LogLines } from '../agent-parts.ts';
import type { Route } from '../route.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'err', 'error'];

/** The agent's own log. */
export function monitorRoutes(log: LogLines): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/agent/monitor',
      about: 'The log of the agent as it is written, JSON lines; no more than `log_level` lets through.',
      acl: 'agent:read',
      rule: agentRead,
      query: [
        { name: 'loglevel', about: 'Least level: debug, info, warn or error; default info.' },
        { name: 'logjson', about: 'Accepted; lines are always JSON.', effect: 'none' },
        { name: 'recent', about: 'Instead of what comes, the newest lines that are still held.' },
      ],
      handle({ query, signal }) {
        const level = (query.text('loglevel') || 'info').toLowerCase();
        const least = LEVELS.indexOf(level);
        if (least < 0) throw new IsthmusError('invalid_argument', `Unknown log level: ${level}`);
        const wanted = (line: string): boolean => levelOf(line) >= least;
        if (query.has('recent'))
          return { text: log.list().filter(wanted).join(''), contentType: 'application/x-ndjson' };
        return { stream: only(log.follow(signal), wanted) };
      },
    },
  ];
}

async function* only(lines: AsyncIterable<string>, wanted: (line: string) => boolean): AsyncGenerator<string> {
  for await (const line of lines) if (wanted(line)) yield line;
}

/** Every line begins with its level. */
function levelOf(line: string): number {
  return LEVELS.indexOf(/^\{"level":"(\w+)"/.exec(line)?.[1] ?? 'info');
}
