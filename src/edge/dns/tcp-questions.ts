import type { Socket } from 'node:net';
import { bucketOf } from '../../lib/address.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { PerKeyLimit, type Slot } from '../../lib/per-key-limit.ts';
import type { TaskGroup } from '../../lib/task.ts';

export interface TcpQuestionsDeps {
  /** Undefined when there is nothing to say: the connection is closed. */
  readonly answer: (message: Buffer, source: string) => Buffer | Promise<Buffer> | undefined;
  /** For connections of one address. */
  readonly maxConnectionsPerClient: number;
  readonly clock: Clock;
  readonly tasks: TaskGroup;
  /** Called for each connection that is closed so that others have room. */
  readonly onClosed: () => void;
}

const MAX_CONNECTIONS = 1_024;
/** A connection on which nothing is received for this long is closed, milliseconds. */
const IDLE_MS = 10_000;
const LENGTH_BYTES = 2;

/**
 * Connections on which questions are asked, each answered before the next one is read. Above the limits the connection
 * goes that has waited longest for its next question, of the same address or of the one that has most.
 */
export class TcpQuestions {
  readonly #deps: TcpQuestionsDeps;
  readonly #limit: PerKeyLimit;
  readonly #connections = new Set<Socket>();

  constructor(deps: TcpQuestionsDeps) {
    this.#deps = deps;
    this.#limit = new PerKeyLimit({ perKey: deps.maxConnectionsPerClient, total: MAX_CONNECTIONS });
  }

  accept(socket: Socket): void {
    const { clock, tasks } = this.#deps;
    const source = socket.remoteAddress ?? '';
    const giveUp = (): void => {
      this.#deps.onClosed();
      socket.destroy();
    };
    socket.on('error', () => socket.destroy());
    let slot = this.#admit(source, giveUp);
    if (slot === undefined) return;
    this.#connections.add(socket);
    let idle: Timer = clock.after(IDLE_MS, () => socket.destroy());
    socket.once('close', () => {
      idle.cancel();
      slot?.release();
      this.#connections.delete(socket);
    });
    let received: Buffer = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      idle.cancel();
      idle = clock.after(IDLE_MS, () => socket.destroy());
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const messages: Buffer[] = [];
      while (received.length >= LENGTH_BYTES && received.length >= LENGTH_BYTES + received.readUInt16BE(0)) {
        const end = LENGTH_BYTES + received.readUInt16BE(0);
        messages.push(received.subarray(LENGTH_BYTES, end));
        received = received.subarray(end);
      }
      if (messages.length === 0) return;
      socket.pause(); // what is asked meanwhile waits in the kernel
      slot?.keep();
      tasks.run('connection', async () => {
        await this.#converse(socket, messages, source);
        if (socket.destroyed) return;
        slot?.release();
        slot = this.#admit(source, giveUp); // in the last place of those that wait
        socket.resume();
      });
    });
  }

  close(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  #admit(source: string, giveUp: () => void): Slot | undefined {
    const slot = this.#limit.admit(bucketOf(source), giveUp);
    if (slot === undefined) giveUp();
    return slot;
  }

  async #converse(socket: Socket, messages: readonly Buffer[], source: string): Promise<void> {
    for (const message of messages) {
      const answer = await this.#deps.answer(message, source);
      if (socket.destroyed) return;
      if (answer === undefined) {
        socket.destroy();
        return;
      }
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt16BE(answer.length);
      // Who does not read gets no more answers to hold for it; in the end it is idle.
      if (!socket.write(Buffer.concat([length, answer]))) await drained(socket);
    }
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      socket.off('drain', finish);
      socket.off('close', finish);
      resolve();
    };
    socket.on('drain', finish);
    socket.on('close', finish);
  });
}
