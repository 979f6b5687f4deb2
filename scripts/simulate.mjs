// `npm run simulate [-- -agents 500 -services 10 -servers 3]`: builds, then runs many agents against real servers.
import { join } from 'node:path';
import { buildTools, ROOT } from './tools.mjs';

buildTools();
process.chdir(ROOT);
process.env.ISTHMUS_TEST_BINARY ??= join(ROOT, 'bin', 'isthmus'); // what was just built, not a build beside the tools
await import(join(ROOT, '.tmp', 'tools', 'bench', 'simulate', 'main.js'));
