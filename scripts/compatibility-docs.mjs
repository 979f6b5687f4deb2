// Writes docs/compatibility.md from the program's tables ("generate"), or fails when it is out of date ("check").
import { generatedDoc } from './generated-doc.mjs';

await generatedDoc({
  source: 'test/compatibility/page.ts',
  page: 'docs/compatibility.md',
  script: 'docs:compatibility',
});
