import { agentRead } from '../../../agent/access/rules.ts';
import type { Clock } from '../../../lib/clock.ts';
import { IsthmusError } from '../../../lib/errors.ts';
import { readableLine } from '../../../lib/readable-line.ts';
import type { LogLines } from '../agent-parts.ts';
import { parseFlag } from '../consistency.ts';
import type { Route } from '../route.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'err', 'error'];

/** The agent's own log. */
export function monitorRoutes(log: LogLines, clock: Clock): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/agent/monitor',
      about: 'The log of the agent as it is written, a line each; no more than `log_level` lets through.',
      acl: 'agent:read',
      rule: agentRead,
      query: [
        { name: 'loglevel', about: 'Least level: debug, info, warn or error; default info.' },
        { name: 'logjson', about: 'Lines of JSON; default text.' },
        { name: 'recent', about: 'Instead of what comes, the newest lines that are still held.' },
      ],
      handle({ query, signal }) {
        const level = (query.text('loglevel') || 'info').toLowerCase();
        const least = LEVELS.indexOf(level);
        if (least < 0) throw new IsthmusError('invalid_argument', `Unknown log level: ${level}`);
        const json = query.has('logjson') && parseFlag(query.text('logjson')) !== false;
        const shown = (line: string): string => (levelOf(line) < least ? '' : json ? line : readableLine(line));
        const contentType = json ? 'application/x-ndjson' : 'text/plain; charset=utf-8';
        if (query.has('recent')) return { text: log.list().map(shown).join(''), contentType };
        const first = firstLine(level, clock);
        return { stream: following(json ? first : readableLine(first), log.follow(signal), shown), contentType };
      },
    },
  ];
}

async function* following(
  first: string,
  lines: AsyncIterable<string>,
  shown: (line: string) => string,
): AsyncGenerator<string> {
  yield first;
  for await (const line of lines) {
    const text = shown(line);
    if (text !== '') yield text;
  }
}

/** Comes at once, so that clients know that they are connected. */
function firstLine(level: string, clock: Clock): string {
  const time = new Date(clock.now()).toISOString();
  const msg = `the log follows from level ${level}`;
  return `${JSON.stringify({ level: 'info', time, component: 'monitor', msg })}\n`;
}

/** Every line begins with its level. */
function levelOf(line: string): number {
  return LEVELS.indexOf(/^\{"level":"(\w+)"/.exec(line)?.[1] ?? 'info');
}
