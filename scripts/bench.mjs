// `npm run bench [row …]`: builds, then measures. CONSUL_BIN names the real peer's binary to be measured beside ours.
import { join } from 'node:path';
import { buildTools, ROOT } from './tools.mjs';

buildTools();
process.chdir(ROOT);
await import(join(ROOT, '.tmp', 'tools', 'bench', 'main.js'));
