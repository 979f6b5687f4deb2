import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** Below where Linux takes the ports of outgoing connections from: under load one of those could sit on a free port. */
const FIRST = 12_000;
const LAST = 32_000;
let next = FIRST + ((process.pid * 64) % (LAST - FIRST));

/**
 * `count` ports that follow one another and are free now, no two calls of one process the same. For what must be known
 * before it is bound: ranges in a configuration, and ports that a killed process takes again.
 */
export async function freePorts(count: number): Promise<{ readonly first: number; readonly last: number }> {
  for (let tries = 0; tries < 1_000; tries += 1) {
    if (next + count > LAST) next = FIRST;
    const first = next;
    next += count;
    if (await allFree(first, count)) return { first, last: first + count - 1 };
  }
  throw new Error(`no ${count} free ports that follow one another`);
}

async function allFree(first: number, count: number): Promise<boolean> {
  for (let port = first; port < first + count; port += 1) if (!(await isFree(port))) return false;
  return true;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '0.0.0.0');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** Whether somebody accepts connections there now. */
export async function dials(port: number, host = '127.0.0.1'): Promise<boolean> {
  const socket = connect(port, host);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
