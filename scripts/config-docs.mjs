// Writes docs/configuration.md from the key table ("generate"), or fails when it is out of date ("check").
import { generatedDoc } from './generated-doc.mjs';

await generatedDoc({ source: 'src/config/reference.ts', page: 'docs/configuration.md', script: 'docs:config' });
