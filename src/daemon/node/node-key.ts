import { join } from 'node:path';
import { IsthmusError } from '../../lib/errors.ts';
import { keep, readKept } from '../../lib/kept-file.ts';
import { generateNodeKey, type NodeKey, readNodeKey } from '../../pki/node-key.ts';

const FILE = 'node-key.pem';

/**
 * The key that this node is bound to: from the data directory, else new and kept there. Without one, it is new each
 * time.
 */
export function loadNodeKey(dataDir: string): NodeKey {
  if (dataDir === '') return readNodeKey(generateNodeKey());
  const file = join(dataDir, FILE);
  let pem = readKept(file);
  if (pem === undefined) {
    pem = generateNodeKey();
    keep(file, pem);
  }
  try {
    return readNodeKey(pem);
  } catch (cause) {
    throw new IsthmusError(
      'invalid_argument',
      `${file} holds no key: restore it from a backup; or delete it, and let the servers forget the old one: ` +
        `isthmus force-leave`,
      { cause },
    );
  }
}
