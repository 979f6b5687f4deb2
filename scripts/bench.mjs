/**
 * `npm run bench [-- [row …] [--compare REF] [--rounds N] [--timeout SECONDS] [--json]]`: builds, then measures.
 * REF is another commit, built and measured in turn with this one; CONSUL_BIN names the binary of a Consul that is too.
 */
import { join } from 'node:path';
import { buildTools, ROOT } from './tools.mjs';

buildTools();
process.chdir(ROOT);
await import(join(ROOT, '.tmp', 'tools', 'bench', 'main.js'));
