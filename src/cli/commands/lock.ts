import { createLock, createSemaphore, type Lock } from '../../client/lock.ts';
import { type KeptSession, keepSession } from '../../client/session-life.ts';
import { tryParseDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { linkSignals } from '../../lib/signals.ts';
import { type Child, type Command, type CommandContext, doing } from '../command.ts';
import { UsageError } from '../flags.ts';
import { keyArgument } from './kv-common.ts';

/** After SIGTERM the child gets this long, milliseconds, as in Consul. */
const GRACE_MS = 5_000;

export const lock: Command = {
  path: ['lock'],
  synopsis: 'Run a program while holding a lock',
  argsUsage: 'PREFIX COMMAND [ARGUMENT…]',
  about:
    'Waits for the lock below the prefix, runs the program, and lets go of the lock when it has ended. When the ' +
    'lock is lost, the ' +
    'program gets SIGTERM, and SIGKILL five seconds later. With -n above 1 so many may hold it at once. The program ' +
    'sees ' +
    'CONSUL_LOCK_HELD=true.',
  flags: [
    { name: 'n', kind: 'number', placeholder: 'holders', about: 'How many may hold it at once; default 1.' },
    { name: 'name', kind: 'text', placeholder: 'name', about: 'Name of the session.' },
    { name: 'child-exit-code', kind: 'bool', about: 'Exit with 2 when the program failed.' },
    {
      name: 'monitor-retry',
      kind: 'number',
      placeholder: 'times',
      about: 'Failed looks at the held lock that are put up with; default 3.',
    },
    {
      name: 'timeout',
      kind: 'duration',
      placeholder: 'duration',
      about: 'How long to wait for the lock; default for ever.',
    },
    { name: 'try', kind: 'duration', placeholder: 'duration', about: 'Older name of -timeout.' },
    { name: 'pass-stdin', kind: 'bool', about: 'The program reads standard input.' },
    { name: 'shell', kind: 'bool', about: 'Run the command in a shell; default true, -shell=false runs it directly.' },
    { name: 'verbose', kind: 'bool', about: 'Say what is done.' },
  ],
  childArguments: true,
  api: 'server',
  async run(context) {
    const { args, flags, client, io, complain } = context;
    const [given, ...words] = args;
    if (given === undefined || words.length === 0)
      throw new UsageError('Key prefix and child command must be specified');
    const limit = flags.number('n', 1);
    if (!Number.isInteger(limit) || limit < 1) throw new UsageError('Lock holder limit must be positive');
    const prefix = keyArgument(given).replace(/\/$/, '');
    const stop = io.stopSignal();
    const say = (text: string): void => {
      if (flags.bool('verbose')) complain(text);
    };
    const api = client();
    const name = flags.text('name') || `Consul lock for '${words.join(' ')}' at '${prefix}'`;
    say(`Setting up lock at path: ${prefix}`);
    const session = await doing(
      'Lock setup failed',
      keepSession(api.sessions, { Name: name, ...(limit > 1 ? { Behavior: 'delete' } : {}) }, io.clock, stop),
    );
    const deps = { client: api, clock: io.clock, session, monitorRetries: flags.number('monitor-retry', 3) };
    const held = limit === 1 ? createLock(deps, `${prefix}/.lock`) : createSemaphore(deps, prefix, limit);
    try {
      say('Attempting lock acquisition');
      await doing('Lock acquisition failed', acquire(context, held, stop));
      return await runHeld(context, held, session, words, stop);
    } finally {
      await session
        .stop()
        .catch((error: unknown) => complain(`Session ends with its TTL: ${IsthmusError.from(error).message}`));
    }
  },
};

async function acquire({ flags, io }: CommandContext, held: Lock, stop: AbortSignal): Promise<void> {
  const text = flags.text('timeout') || flags.text('try');
  const ms = text === '' ? 0 : (tryParseDuration(text) ?? 0);
  const limit = linkSignals(stop);
  const late = new IsthmusError('deadline', `not held within ${text}`);
  const timer = ms > 0 ? io.clock.after(ms, () => limit.abort(late)) : undefined;
  try {
    await held.acquire(limit.signal);
  } finally {
    timer?.cancel();
    limit.release();
  }
}

/** Runs the program while the lock is held; ends it when the lock is lost, or this process is to stop. */
async function runHeld(
  { flags, io, complain }: CommandContext,
  held: Lock,
  session: KeptSession,
  words: readonly string[],
  stop: AbortSignal,
): Promise<number> {
  const shell = !flags.has('shell') || flags.bool('shell');
  const watching = new AbortController();
  const child = io.startChild(shell ? ['/bin/sh', '-c', words.join(' ')] : words, {
    env: { CONSUL_LOCK_HELD: 'true' },
    passStdin: flags.bool('pass-stdin'),
  });
  const lost = Promise.race([held.monitor(watching.signal), session.lost]);
  let ended = false;
  const ending = end(
    io,
    child,
    [lost.then(() => (ended ? undefined : 'Lock lost, killing child')), stopped(stop)],
    complain,
  );
  let code = 0;
  try {
    const result = await child.ended;
    if (result.code !== 0) {
      complain(
        `Error running handler: ` +
          `${result.code === undefined ? `signal: ${result.signal}` : `exit status ${result.code}`}`,
      );
      code = flags.bool('child-exit-code') ? 2 : 0;
    }
  } catch (error) {
    complain(`Error starting handler: ${(error as Error).message}`);
    code = 1;
  } finally {
    ended = true;
    ending.cancel();
    watching.abort();
  }
  await held.release().catch((error: unknown) => complain(`Lock release failed: ${IsthmusError.from(error).message}`));
  return code;
}

function stopped(signal: AbortSignal): Promise<string> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('Shutdown triggered, killing child');
    else signal.addEventListener('abort', () => resolve('Shutdown triggered, killing child'), { once: true });
  });
}

/** Ends the child at the first reason there is. */
function end(
  io: CommandContext['io'],
  child: Child,
  reasons: readonly Promise<string | undefined>[],
  complain: (line: string) => void,
): { cancel(): void } {
  let cancel = (): void => undefined;
  let cancelled = false;
  for (const reason of reasons)
    reason
      .then((text) => {
        if (cancelled || text === undefined) return;
        complain(text);
        child.kill('SIGTERM');
        const timer = io.clock.after(GRACE_MS, () => child.kill('SIGKILL'));
        cancel = () => timer.cancel();
      })
      .catch(() => undefined);
  return {
    cancel() {
      cancelled = true;
      cancel();
    },
  };
}
