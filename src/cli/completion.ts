import { sharedFlags } from './api-flags.ts';
import type { Command } from './command.ts';

/**
 * What may stand at the end of a command line: words of commands, or flags of the command. @param line up to the
 * cursor; its last word is being typed, and is empty behind a blank
 */
export function completions(line: string, commands: readonly Command[]): readonly string[] {
  const words = line.trimStart().split(/\s+/);
  const typed = words.at(-1) ?? '';
  const before = words.slice(1, -1);
  const path = before.filter((word) => !word.startsWith('-'));
  const command = commands
    .filter((candidate) => candidate.path.every((word, at) => path[at] === word))
    .sort((a, b) => b.path.length - a.path.length)
    .at(0);
  if (typed.startsWith('-')) return command === undefined ? [] : matching(flagsOf(command), typed);
  const words_ = commands.flatMap((candidate) =>
    path.every((word, at) => candidate.path[at] === word) ? (candidate.path[path.length] ?? []) : [],
  );
  return matching(words_, typed);
}

function flagsOf(command: Command): readonly string[] {
  return [...command.flags, ...sharedFlags(command)].map(({ name, kind }) =>
    kind === 'bool' ? `-${name}` : `-${name}=`,
  );
}

function matching(words: readonly string[], typed: string): readonly string[] {
  return [...new Set(words)].filter((word) => word.startsWith(typed)).sort();
}
