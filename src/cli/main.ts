import { basename, resolve } from 'node:path';
import { COMMANDS } from './commands.ts';
import { completions } from './completion.ts';
import { type CompletionPlace, installCompletion, uninstallCompletion } from './completion-install.ts';
import { runCli } from './run.ts';
import { systemIo } from './system-io.ts';

/** Entry of bin/isthmus. */
async function main(args: readonly string[]): Promise<number> {
  const io = systemIo();
  const { COMP_LINE: line, COMP_POINT: point } = io.env;
  // A shell asks how its line may go on; scripts that have the variable from it give arguments.
  const name = basename(process.argv[1] ?? 'isthmus');
  if (line !== undefined && (args.length === 0 || basename(args[0] ?? '') === name)) {
    const cursor = point === undefined ? line.length : Number(point);
    for (const word of completions(line.slice(0, cursor), COMMANDS)) io.out(`${word}\n`);
    return 0;
  }
  const [first] = args;
  if (first !== '-autocomplete-install' && first !== '-autocomplete-uninstall') return runCli(args, COMMANDS, io);
  const place: CompletionPlace = {
    home: io.env.HOME || '/',
    ...(io.env.XDG_CONFIG_HOME ? { configHome: io.env.XDG_CONFIG_HOME } : {}),
    binary: resolve(process.argv[1] ?? 'isthmus'),
    name,
  };
  const install = first === '-autocomplete-install';
  const files = install ? installCompletion(place) : uninstallCompletion(place);
  for (const file of files) io.out(`${install ? 'Installed in' : 'Removed from'} ${file}\n`);
  if (files.length > 0) return 0;
  io.err(
    install
      ? 'Did not find any shells to install\nThere is no ~/.bashrc, no ~/.zshrc and no config.fish: make one and ' +
          'try again.\n'
      : 'It was not installed\n',
  );
  return 1;
}

process.exitCode = await main(process.argv.slice(2));
