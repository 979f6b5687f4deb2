// `npm run bench [row …]`: builds, then measures. CONSUL_BIN names the real peer's binary to be measured beside ours.
import { buildTools, ROOT } from './tools.mjs';

buildTools();
process.chdir(ROOT);
await import('../.tmp/tools/bench/main.js');
