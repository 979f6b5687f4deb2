/** Makes and writes out keys, as an agent does for its leaves; says so when it is through. */
import { generateKey, generateLeafKey, privateKeyToPem, spkiOf } from '../../src/pki/keys.ts';

for (let made = 0; made < 4000; made += 1) {
  const key = generateLeafKey();
  spkiOf(key);
  privateKeyToPem(key);
}
for (const bits of [256, 384, 521] as const) privateKeyToPem(await generateKey({ type: 'ec', bits }));
process.stdout.write('through\n');
