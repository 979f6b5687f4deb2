import { type Client, createClient } from '../client/client.ts';
import { IsthmusError } from '../lib/errors.ts';
import { optionsFromFlags, sharedFlags } from './api-flags.ts';
import { type Command, type CommandContext, CommandFailure, type Io } from './command.ts';
import { parseArguments, UsageError } from './flags.ts';
import { commandHelp, groupHelp } from './help.ts';

/** Exit code for a command that does not exist. */
const UNKNOWN_COMMAND = 127;

/** Finds and runs a command; resolves with the exit code and never rejects. */
export async function runCli(args: readonly string[], commands: readonly Command[], io: Io): Promise<number> {
  const [first] = args;
  if (first === undefined) return unknown([], commands, io);
  if (/^--?(h|help)$/.test(first)) {
    io.out(groupHelp([], commands));
    return 0;
  }
  if (/^--?(v|version)$/.test(first)) return runCli(['version', ...args.slice(1)], commands, io);

  const command = longestMatch(args, commands);
  if (command !== undefined) return runCommand(command, args.slice(command.path.length), io);

  let depth = 0;
  while (depth < args.length && commands.some((candidate) => startsWith(candidate.path, args.slice(0, depth + 1)))) {
    depth++;
  }
  const prefix = args.slice(0, depth);
  if (depth === 0) return unknown(prefix, commands, io);
  const next = args[depth];
  if (next !== undefined && /^--?(h|help)$/.test(next)) {
    io.out(groupHelp(prefix, commands));
    return 0;
  }
  io.err(groupHelp(prefix, commands));
  return 1;
}

function unknown(prefix: readonly string[], commands: readonly Command[], io: Io): number {
  io.err(groupHelp(prefix, commands));
  return UNKNOWN_COMMAND;
}

function startsWith(path: readonly string[], prefix: readonly string[]): boolean {
  return prefix.every((word, index) => path[index] === word);
}

function longestMatch(args: readonly string[], commands: readonly Command[]): Command | undefined {
  return commands
    .filter((command) => startsWith(args, command.path))
    .sort((a, b) => b.path.length - a.path.length)
    .at(0);
}

async function runCommand(command: Command, args: readonly string[], io: Io): Promise<number> {
  let parsed: ReturnType<typeof parseArguments>;
  try {
    parsed = parseArguments(args, [...command.flags, ...sharedFlags(command)]);
    const format = parsed.flags.text('format');
    if (format !== '' && format !== 'pretty' && format !== 'json') {
      throw new UsageError(`invalid value ${JSON.stringify(format)} for flag -format: must be pretty or json`);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.err(`${error.message}\n${commandHelp(command)}`);
    return 1;
  }
  if (parsed.help) {
    io.out(commandHelp(command));
    return 0;
  }
  let client: Client | undefined;
  const context: CommandContext = {
    io,
    flags: parsed.flags,
    args: parsed.rest,
    json: parsed.flags.text('format') === 'json',
    client: () => {
      client ??= createClient(optionsFromFlags(parsed.flags, io));
      return client;
    },
    print: (line) => io.out(`${line}\n`),
    complain: (line) => io.err(`${line}\n`),
    printJson: (value) => io.out(`${JSON.stringify(value, null, 2)}\n`),
  };
  try {
    return await command.run(context);
  } catch (error) {
    report(error, io);
    return command.failureCode ?? 1;
  } finally {
    client?.close();
  }
}

function report(error: unknown, io: Io): void {
  if (error instanceof UsageError) {
    io.err(`${error.message}\n`);
    return;
  }
  const reason = error instanceof CommandFailure ? error.reason : IsthmusError.from(error);
  const message = error instanceof CommandFailure ? error.message : reason.message;
  io.err(`${message}\n`);
  const hint = nextStep(reason);
  // Only for people: programs compare the text above.
  if (hint !== undefined && io.errIsTerminal) io.err(`\n${hint}\n`);
}

/** What to do about an error that many meet. */
function nextStep(reason: IsthmusError): string | undefined {
  switch (reason.details.reason) {
    case 'ECONNREFUSED':
      return 'No agent listens there. Start one with "isthmus agent -dev", or name its address with -http-addr.';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'That host name is not known. Check -http-addr and ISTHMUS_HTTP_ADDR.';
    case 'ENOENT':
      return 'There is no such socket. Check "addresses.http" of the agent and -http-addr.';
    default:
  }
  if (reason.code === 'permission_denied')
    return 'The token does not allow this. Give another one with -token or -token-file.';
  if (reason.message === 'data_dir cannot be empty') {
    return 'Name a directory with -data-dir, or start without one: "isthmus agent -dev".';
  }
  if (/No path to datacenter/.test(reason.message))
    return 'See "isthmus federation status" for the links between datacenters.';
  return undefined;
}
