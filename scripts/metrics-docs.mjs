// Writes docs/metrics.md from the declared metrics ("generate"), or fails when it is out of date ("check").
import { generatedDoc } from './generated-doc.mjs';

await generatedDoc({ source: 'scripts/metrics-reference.ts', page: 'docs/metrics.md', script: 'docs:metrics' });
