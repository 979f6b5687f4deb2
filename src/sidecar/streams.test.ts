import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dial, ending, readAll, SidecarBench } from '../../test/fakes/sidecar-bench.ts';

/**
 * One side's script: what it sends in which pieces, when it stands still, and how it ends. Both sides run theirs at
 * the same time through two sidecars.
 */
interface Script {
  readonly pieces: readonly number[];
  readonly pauseAfter: readonly boolean[];
  readonly seed: number;
}

const SCRIPT = fc.record({
  pieces: fc.array(fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 10_000, max: 200_000 })), {
    maxLength: 12,
  }),
  pauseAfter: fc.array(fc.boolean(), { maxLength: 12 }),
  seed: fc.nat(255),
});

let bench: SidecarBench;
let tunnel: string;
const waiting: ((socket: Socket) => void)[] = [];

beforeAll(async () => {
  bench = new SidecarBench();
  const db = await bench.db(await bench.app((socket) => waiting.shift()?.(socket)));
  tunnel = (await bench.web([db.address])).address;
});
afterAll(() => bench.close());

function bytesOf(script: Script): Buffer {
  const size = script.pieces.reduce((sum, piece) => sum + piece, 0);
  return Buffer.from(Uint8Array.from({ length: size }, (_, n) => (n * 31 + script.seed + (n >> 8)) & 0xff));
}

async function send(socket: Socket, script: Script): Promise<void> {
  const bytes = bytesOf(script);
  let from = 0;
  for (const [n, piece] of script.pieces.entries()) {
    socket.write(bytes.subarray(from, from + piece));
    from += piece;
    if (script.pauseAfter[n]) for (let turns = 0; turns < 3; turns += 1) await turn();
  }
  socket.end();
}

async function receive(socket: Socket, script: Script): Promise<string> {
  return describeBytes(await readAll(socket, (n) => script.pauseAfter[n % 12] === true)); // slow now and then
}

/** Short, so that a difference is read easily. */
function describeBytes(bytes: Buffer): string {
  return `${bytes.length} bytes, ${createHash('sha256').update(bytes).digest('hex')}`;
}

describe('byte streams', () => {
  it('arrive whole in both directions, whoever ends first', async () => {
    await fc.assert(
      fc.asyncProperty(SCRIPT, SCRIPT, async (near, far) => {
        const accepted = new Promise<Socket>((resolve) => waiting.push(resolve));
        const client = dial(tunnel);
        const server = await accepted;
        const [, atServer, , atClient] = await Promise.all([
          send(client, near),
          receive(server, near),
          send(server, far),
          receive(client, far),
        ]);
        expect(atServer).toBe(describeBytes(bytesOf(near)));
        expect(atClient).toBe(describeBytes(bytesOf(far)));
      }),
      { numRuns: 20 },
    );
  });

  it('end in a reset on the other side when one resets, whatever was sent before', async () => {
    await fc.assert(
      fc.asyncProperty(SCRIPT, fc.boolean(), async (script, clientResets) => {
        const accepted = new Promise<Socket>((resolve) => waiting.push(resolve));
        const client = dial(tunnel);
        const server = await accepted;
        const [from, to] = clientResets ? [client, server] : [server, client];
        const end = ending(to);
        from.on('error', () => undefined);
        from.write(bytesOf({ ...script, pieces: [...script.pieces, 1] }));
        for (let turns = 0; turns < script.seed % 8; turns += 1) await turn();
        from.resetAndDestroy();
        expect(await end).toBe('reset');
      }),
      { numRuns: 20 },
    );
  });
});
