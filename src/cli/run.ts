import { type Client, createClient } from '../client/client.ts';
import { IsthmusError } from '../lib/errors.ts';
import { suggest } from '../lib/suggest.ts';
import { optionsFromFlags, sharedFlags } from './api-flags.ts';
import { type Command, type CommandContext, CommandFailure, type Io } from './command.ts';
import { parseArguments, UsageError } from './flags.ts';
import { commandHelp, groupHelp } from './help.ts';
import { LEFT_OUT } from './left-out.ts';

/** Exit code for a command that does not exist. */
const UNKNOWN_COMMAND = 127;

/** Finds and runs a command; resolves with the exit code and never rejects. */
export async function runCli(args: readonly string[], commands: readonly Command[], io: Io): Promise<number> {
  const [first, ...rest] = args;
  if (first === undefined) return unknown([], undefined, commands, io);
  if (/^--?(v|version)$/.test(first)) return runCli(['version', ...rest], commands, io);
  if (isHelp(first) || first === 'help') return showHelp(rest, commands, io);

  const command = longestMatch(args, commands);
  if (command !== undefined) return runCommand(command, args.slice(command.path.length), io);
  const group = groupOf(args, commands);
  const next = args[group.length];
  if (next !== undefined && (isHelp(next) || next === 'help')) return showHelp(group, commands, io);
  return unknown(group, next, commands, io);
}

function isHelp(word: string): boolean {
  return /^--?(h|help)$/.test(word);
}

/** `isthmus help [command]`. */
function showHelp(words: readonly string[], commands: readonly Command[], io: Io): number {
  const path = words.filter((word) => !word.startsWith('-'));
  const command = commands.find((candidate) => candidate.path.join(' ') === path.join(' '));
  const group = groupOf(path, commands);
  if (command === undefined && group.length < path.length) return unknown(group, path[group.length], commands, io);
  io.out(command === undefined ? groupHelp(group, commands) : commandHelp(command));
  return 0;
}

/** The words at the start of a line that name a group of commands. */
function groupOf(args: readonly string[], commands: readonly Command[]): readonly string[] {
  let depth = 0;
  while (depth < args.length && commands.some((candidate) => startsWith(candidate.path, args.slice(0, depth + 1)))) {
    depth++;
  }
  return args.slice(0, depth);
}

/**
 * Says what is not known, and what there is. @param word what stands where a command should; absent when nothing does.
 */
function unknown(group: readonly string[], word: string | undefined, commands: readonly Command[], io: Io): number {
  const leftOut = LEFT_OUT[[...group, word].join(' ')];
  if (leftOut !== undefined) {
    io.err(`"${[...group, word].join(' ')}" is left out on purpose: ${leftOut}\n`);
    return UNKNOWN_COMMAND;
  }
  if (word !== undefined) {
    const names = commands.flatMap(({ path }) => (startsWith(path, group) ? [path[group.length] ?? ''] : []));
    const near = suggest(word, new Set(names)) ?? elsewhere(word, commands);
    const text = `unknown command ${JSON.stringify([...group, word].join(' '))}`;
    io.err(near === undefined ? `${text}\n\n` : `${text}; did you mean ${JSON.stringify(near)}?\n\n`);
  }
  io.err(groupHelp(group, commands));
  return group.length === 0 ? UNKNOWN_COMMAND : 1;
}

/** The only command that ends with the word: `rotate` for `connect ca rotate`. */
function elsewhere(word: string, commands: readonly Command[]): string | undefined {
  const [only, ...others] = commands.filter(({ path }) => path.length > 1 && path.at(-1) === word);
  return others.length === 0 ? only?.path.join(' ') : undefined;
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
    parsed = parseArguments(args, [...command.flags, ...sharedFlags(command)], {
      endAtArgument: command.childArguments === true,
    });
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
  const most = mostArguments(command);
  if (parsed.rest.length > most) {
    io.err(`Too many arguments (expected ${most}, got ${parsed.rest.length})\n${commandHelp(command)}`);
    return command.failureCode ?? 1;
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

/** As its usage says: `SRC DST | ID` takes two at most, `FILE…` any number. */
function mostArguments({ argsUsage = '' }: Command): number {
  if (argsUsage.includes('…')) return Number.POSITIVE_INFINITY;
  return Math.max(...argsUsage.split('|').map((form) => form.trim().split(/\s+/).filter(Boolean).length));
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
