// Writes docs/envoy-keys.md from the table of proxies' keys ("generate"), or fails when it is out of date ("check").
import { generatedDoc } from './generated-doc.mjs';

await generatedDoc({ source: 'scripts/envoy-keys-reference.ts', page: 'docs/envoy-keys.md', script: 'docs:envoy' });
