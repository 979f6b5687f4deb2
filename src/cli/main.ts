import { COMMANDS } from './commands.ts';
import { runCli } from './run.ts';
import { systemIo } from './system-io.ts';

/** Entry of bin/isthmus. */
process.exitCode = await runCli(process.argv.slice(2), COMMANDS, systemIo());
