import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startChild } from '../../src/cli/child.ts';
import type { Io } from '../../src/cli/command.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { runCli } from '../../src/cli/run.ts';
import { systemClock } from '../../src/lib/clock.ts';

export type Answers = Readonly<Record<string, unknown>>;

const servers: Server[] = [];
/** Ends the agents of a test. */
export async function stopFakeAgents(): Promise<void> {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Answers `METHOD /path?query`: a number is a status of its own, a text goes as it is, the rest as JSON. */
export async function fakeAgent(answers: Answers): Promise<{ address: string; seen: string[] }> {
  const seen: string[] = [];
  const address = await serve((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const line = `${request.method} ${request.url}`;
      const body = Buffer.concat(chunks).toString();
      seen.push(body === '' ? line : `${line} ${body}`);
      const answer = answers[line];
      if (answer === undefined) response.writeHead(404).end(`no answer to ${line}`);
      else if (answer instanceof Refusal) response.writeHead(answer.status).end(answer.body);
      else response.setHeader('x-consul-index', '9').end(typeof answer === 'string' ? answer : JSON.stringify(answer));
    });
  });
  return { address, seen };
}

/** Serves on a free port of loopback until the test ends; resolves with host:port. */
export async function serve(handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export class Refusal {
  readonly status: number;
  readonly body: string;
  constructor(status: number, body: string) {
    this.status = status;
    this.body = body;
  }
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runCommand(
  args: readonly string[],
  io: Partial<Io> & { files?: Record<string, string> } = {},
): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const status = await runCli(args, COMMANDS, {
    out: (content) => {
      stdout += typeof content === 'string' ? content : Buffer.from(content).toString('latin1');
    },
    err: (text) => {
      stderr += text;
    },
    env: {},
    readFile: (path) => {
      const text = io.files?.[path];
      if (text === undefined) throw Object.assign(new Error('gone'), { code: 'ENOENT' });
      return text;
    },
    readBytes: (path) => Buffer.from(io.files?.[path] ?? ''),
    readStdinBytes: async () => Buffer.from(io.files?.['-'] ?? ''),
    startChild,
    listFiles: () => [],
    exists: (path) => io.files?.[path] !== undefined,
    createFile: () => undefined,
    readStdin: async () => io.files?.['-'] ?? '',
    outIsTerminal: false,
    errIsTerminal: false,
    outWidth: () => 80,
    clock: systemClock,
    stopSignal: () => new AbortController().signal,
    ...io,
  });
  return { status, stdout, stderr };
}
