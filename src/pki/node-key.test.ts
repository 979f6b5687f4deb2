import { expect, it } from 'vitest';
import { generateNodeKey, isProven, newChallenge, nodeKeyId, readNodeKey } from './node-key.ts';

const key = readNodeKey(generateNodeKey());
const claim = { datacenter: 'dc1', node: 'web-1', nodeId: 'id', nonce: newChallenge() };

it('proves one claim with one key', () => {
  const proof = key.prove(claim);
  expect(isProven(key.publicKey, claim, proof)).toBe(true);
  for (const other of [{ node: 'web-2' }, { nodeId: 'other' }, { datacenter: 'dc2' }, { nonce: newChallenge() }])
    expect(isProven(key.publicKey, { ...claim, ...other }, proof)).toBe(false);
  const another = readNodeKey(generateNodeKey());
  expect(isProven(another.publicKey, claim, proof)).toBe(false);
  expect(nodeKeyId(another.publicKey)).not.toBe(nodeKeyId(key.publicKey));
});

it.each([
  ['no key', new Uint8Array()],
  ['no key but bytes', Buffer.from('3000', 'hex')],
  ['a huge key', new Uint8Array(100_000)],
])('takes %s for no proof', (_what, publicKey) => {
  expect(isProven(publicKey, claim, key.prove(claim))).toBe(false);
  expect(isProven(key.publicKey, claim, publicKey)).toBe(false);
});
