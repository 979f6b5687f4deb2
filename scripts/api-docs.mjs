// Writes docs/api.md from the route tables ("generate"), or fails when it is out of date ("check").
import { generatedDoc } from './generated-doc.mjs';

await generatedDoc({ source: 'src/edge/http/reference.ts', page: 'docs/api.md', script: 'docs:api' });
