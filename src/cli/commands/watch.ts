import { spawn } from 'node:child_process';
import { IsthmusError } from '../../lib/errors.ts';
import { followWatch, type WatchAnswer } from '../../watch/follow.ts';
import { jsonLine } from '../../watch/handlers.ts';
import { WATCH_TYPES, type WatchParams, watchPlan } from '../../watch/plan.ts';
import { type Command, type CommandContext, CommandFailure } from '../command.ts';
import { type Flags, UsageError } from '../flags.ts';

export const watch: Command = {
  path: ['watch'],
  synopsis: 'Follow what the API answers, and run a program when it changes',
  argsUsage: '[CHILD…]',
  about:
    'Without a program, the answer is printed once. With one, it is run with the answer and then with each new one: ' +
    'JSON on its standard input, the index in CONSUL_INDEX. One run follows the other; it ends when one fails.',
  flags: [
    { name: 'type', kind: 'text', placeholder: 'type', about: `One of ${WATCH_TYPES.join(', ')}.` },
    { name: 'key', kind: 'text', placeholder: 'key', about: 'For the type key.' },
    { name: 'prefix', kind: 'text', placeholder: 'prefix', about: 'For the type keyprefix.' },
    {
      name: 'service',
      kind: 'text',
      placeholder: 'service',
      about: 'For the types service, checks, connect_leaf; for agent_service its ID.',
    },
    { name: 'tag', kind: 'list', placeholder: 'tag', about: 'For the type service: only instances with this tag.' },
    { name: 'passingonly', kind: 'text', placeholder: 'true|false', about: 'For the type service: only healthy ones.' },
    { name: 'state', kind: 'text', placeholder: 'state', about: 'For the type checks: only those in this state.' },
    { name: 'name', kind: 'text', placeholder: 'name', about: 'For the type event: only events of this name.' },
    { name: 'shell', kind: 'bool', about: 'Run the program by a shell, $SHELL or /bin/sh. Default true.' },
  ],
  api: 'server',
  childArguments: true,
  async run(context) {
    const { args, flags, io } = context;
    const plan = planOf(flags);
    const { transport } = context.client();
    const ask = async (
      path: string,
      query: Readonly<Record<string, string | readonly string[] | true>>,
      signal: AbortSignal,
    ): Promise<WatchAnswer> => {
      const { status, headers, text } = await transport.send({ method: 'GET', path, query, call: { signal } });
      const { 'x-consul-index': index } = headers;
      return {
        status,
        index: typeof index === 'string' ? index : '',
        json: status === 200 ? JSON.parse(text) : undefined,
        text,
      };
    };
    const signal = io.stopSignal();
    const onError = (error: IsthmusError, retryInMs: number): void =>
      context.complain(`${error.message}; trying again in ${Math.round(retryInMs / 1_000)}s`);
    const deps = { ask, clock: io.clock };
    if (args.length === 0) {
      await failing('Error running watch', () =>
        followWatch(
          plan,
          deps,
          async (_index, data) => {
            io.out(`${JSON.stringify(data, undefined, 4)}\n`);
            return false;
          },
          signal,
        ),
      );
      return 0;
    }
    let status = 0;
    // The clock's timers keep no process alive.
    const alive = setInterval(() => undefined, 2 ** 30);
    await followWatch(
      plan,
      { ...deps, onError },
      async (index, data) => {
        const code = await runChild(context, index, data, signal);
        if (code !== 0 && !signal.aborted) {
          context.complain(`Error executing handler: exit status ${code}`);
          status = 1;
        }
        return status === 0;
      },
      signal,
    ).finally(() => clearInterval(alive));
    return status;
  },
};

async function failing(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw new CommandFailure(what, error);
  }
}

function planOf(flags: Flags): ReturnType<typeof watchPlan> {
  const type = flags.text('type');
  const passingonly = flags.text('passingonly');
  if (passingonly !== '' && passingonly !== 'true' && passingonly !== 'false')
    throw new UsageError(`Failed to parse passingonly: ${JSON.stringify(passingonly)} is neither true nor false`);
  const given: Record<string, unknown> = {
    type,
    key: flags.text('key'),
    prefix: flags.text('prefix'),
    [type === 'agent_service' ? 'service_id' : 'service']: flags.text('service'),
    state: flags.text('state'),
    name: flags.text('name'),
    ...(flags.has('tag') ? { tag: flags.list('tag') } : {}),
    ...(passingonly === '' ? {} : { passingonly: passingonly === 'true' }),
  };
  const params: WatchParams = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== ''));
  try {
    return watchPlan(params);
  } catch (error) {
    throw new UsageError(IsthmusError.from(error).message);
  }
}

/** Its outputs are this program's; it ends with this program. */
function runChild(
  { args, flags, io }: CommandContext,
  index: string,
  data: unknown,
  signal: AbortSignal,
): Promise<number> {
  const byShell = !flags.has('shell') || flags.bool('shell');
  const [file = '', ...rest] = byShell ? [io.env.SHELL || '/bin/sh', '-c', args.join(' ')] : args;
  return new Promise((resolve, reject) => {
    const child = spawn(file, rest, {
      stdio: ['pipe', 'inherit', 'inherit'],
      env: { ...io.env, CONSUL_INDEX: index },
    });
    const stop = (): void => void child.kill('SIGTERM');
    signal.addEventListener('abort', stop, { once: true });
    child.stdin.on('error', () => undefined); // it need not read
    child.stdin.end(jsonLine(data));
    child.once('error', (error) => reject(new UsageError(`Error executing handler: ${error.message}`)));
    child.once('close', (code) => {
      signal.removeEventListener('abort', stop);
      resolve(code ?? -1);
    });
  });
}
