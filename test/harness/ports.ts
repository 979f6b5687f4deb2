import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Below where Linux takes the ports of outgoing connections from: under load one of those could sit on a free port. */
const FIRST = 12_000;
const LAST = 32_000;
/** Ports that a process claims at once; no call may want more. */
const BLOCK = 100;
/**
 * A file for each claimed block, with the number of the process: a port that is free now may be another suite's soon.
 */
const CLAIMS = join(tmpdir(), `isthmus-ports-${process.getuid?.() ?? 0}`);
let next = 0;
let end = 0;

/**
 * `count` ports that follow one another and are free now, no two calls on this machine the same. For what must be known
 * before it is bound: ranges in a configuration, and ports that a killed process takes again.
 */
export async function freePorts(count: number): Promise<{ readonly first: number; readonly last: number }> {
  for (let tries = 0; tries < 1_000; tries += 1) {
    if (next + count > end) {
      next = claimBlock();
      end = next + BLOCK;
    }
    const first = next;
    next += count;
    if (await allFree(first, count)) return { first, last: first + count - 1 };
  }
  throw new Error(`no ${count} free ports that follow one another`);
}

/** The first port of a block that no living process has; it stays this process's until that ends. */
function claimBlock(): number {
  mkdirSync(CLAIMS, { recursive: true });
  const blocks = (LAST - FIRST) / BLOCK;
  const start = process.pid % blocks;
  for (let at = 0; at < blocks; at += 1) {
    const first = FIRST + ((start + at) % blocks) * BLOCK;
    const file = join(CLAIMS, String(first));
    if (!isHeld(file)) rmSync(file, { force: true });
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
    } catch {
      continue; // another process was first
    }
    process.once('exit', () => rmSync(file, { force: true }));
    return first;
  }
  throw new Error(`every port from ${FIRST} to ${LAST} is claimed by a test that runs: see ${CLAIMS}`);
}

function isHeld(file: string): boolean {
  try {
    process.kill(Number(readFileSync(file, 'utf8')), 0);
    return true;
  } catch {
    return false; // its process has ended, or there is no claim
  }
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
