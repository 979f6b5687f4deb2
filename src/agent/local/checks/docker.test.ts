import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../test/fakes/fake-clock.ts';
import { type Clock, systemClock } from '../../../lib/clock.ts';
import { type DockerProbe, dockerProber, dockerSocket } from './docker.ts';
import type { CheckResult } from './runner.ts';

const SIGNAL = new AbortController().signal;
let dir: string;
let socketPath: string;
let server: Server;
/** What Docker was asked, and with which body. */
let asked: { readonly call: string; readonly body: unknown }[];
let answers: Readonly<Record<string, { readonly status: number; readonly body?: unknown; readonly hang?: boolean }>>;

/** One frame of the stream of a command without a terminal. */
function frame(stream: 1 | 2, text: string): Buffer {
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  return text === '' ? undefined : JSON.parse(text);
}

/** Stands in for Docker's daemon: answers as the Engine API (1.47) documents it. */
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'isthmus-docker-'));
  socketPath = join(dir, 'docker.sock');
  asked = [];
  const answerTo = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const call = `${request.method} ${request.url}`;
    asked.push({ call, body: await bodyOf(request) });
    const answer = answers[call] ?? { status: 404, body: { message: 'page not found' } };
    response.writeHead(answer.status);
    if (Array.isArray(answer.body)) for (const part of answer.body as Buffer[]) response.write(part);
    else if (answer.body !== undefined) response.write(JSON.stringify(answer.body));
    if (answer.hang !== true) response.end();
  };
  server = createServer((request, response) => {
    answerTo(request, response).catch((error: Error) => response.destroy(error));
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(dir, { recursive: true, force: true });
});

const CREATE = 'POST /containers/web/exec';
const START = 'POST /exec/e1/start';
const INSPECT = 'GET /exec/e1/json';

function prober(
  options: Partial<DockerProbe> = {},
  clock: Clock = systemClock,
): (signal?: AbortSignal) => Promise<CheckResult> {
  const probe = {
    socketPath,
    container: 'web',
    args: ['check', '-x'],
    timeoutMs: 30_000,
    maxOutput: 4_096,
    ...options,
  };
  const run = dockerProber(clock, probe);
  return (signal = SIGNAL) => run(signal);
}

const finished = (ExitCode: number, output: readonly Buffer[] = [frame(1, 'out\n'), frame(2, 'err\n')]) => ({
  [CREATE]: { status: 201, body: { Id: 'e1' } },
  [START]: { status: 200, body: output },
  [INSPECT]: { status: 200, body: { Running: false, ExitCode } },
});

describe('a Docker check', () => {
  it.each([
    [0, 'passing'],
    [1, 'warning'],
    [2, 'critical'],
  ])('exit code %i is %s', async (code, status) => {
    answers = finished(code);
    expect(await prober()()).toEqual({ status, output: 'out\nerr\n' });
    expect(asked).toEqual([
      {
        call: CREATE,
        body: { AttachStdin: false, AttachStdout: true, AttachStderr: true, Tty: false, Cmd: ['check', '-x'] },
      },
      { call: START, body: { Detach: false, Tty: false } },
      { call: INSPECT, body: undefined },
    ]);
  });

  it('reads frames wherever they are cut, and keeps the end of a long output', async () => {
    const stream = Buffer.concat([frame(1, 'x'.repeat(9_000)), frame(2, ''), frame(1, 'END')]);
    const parts = [stream.subarray(0, 3), stream.subarray(3, 8), stream.subarray(8, 100), stream.subarray(100)];
    answers = finished(0, parts);
    expect(await prober({ maxOutput: 5 })()).toEqual({
      status: 'passing',
      output: 'Captured 5 of 9003 bytes\n...\nxxEND',
    });
  });

  it('names what Docker refuses', async () => {
    for (const [status, output] of [
      [404, 'create exec failed for unknown container web'],
      [409, 'create exec failed since container web is paused or stopped'],
      [500, 'create exec failed for container web with status 500: {"message":"why"}'],
    ] as const) {
      answers = { [CREATE]: { status, body: { message: 'why' } } };
      expect(await prober()()).toEqual({ status: 'critical', output });
    }
    expect(await prober({ socketPath: join(dir, 'none.sock') })()).toEqual({
      status: 'critical',
      output:
        `create exec failed for container web: Post "http://${encodeURIComponent(join(dir, 'none.sock'))}` +
        `/containers/web/exec": dial unix ${join(dir, 'none.sock')}: connect: no such file or directory`,
    });
  });

  it('asks for a container by its name alone, whatever that is', async () => {
    answers = {};
    await prober({ container: '../images/x?y=1#' })();
    expect(asked.map(({ call }) => call)).toEqual(['POST /containers/..%2Fimages%2Fx%3Fy%3D1%23/exec']);
  });

  it('starts no other run while one goes on in the container after its time', async () => {
    answers = {
      ...finished(0),
      [START]: { status: 200, body: [frame(1, 'begun')], hang: true },
      [INSPECT]: { status: 200, body: { Running: true, ExitCode: null } },
    };
    const clock = new FakeClock();
    const run = prober({ timeoutMs: 300 }, clock);
    const late = run();
    await expect.poll(() => asked.some(({ call }) => call === START), { timeout: 20_000 }).toBe(true);
    await clock.advance(300);
    expect(await late).toEqual({ status: 'critical', output: 'Timed out (300ms) running check' });
    expect(await run()).toEqual({
      status: 'critical',
      output: 'the run of this check before goes on in the container',
    });
    expect(asked.filter(({ call }) => call === CREATE)).toHaveLength(1);
    answers = finished(0);
    expect((await run()).status).toBe('passing');
  });

  it('knows where the daemon listens', () => {
    expect(dockerSocket(undefined)).toBe('/var/run/docker.sock');
    expect(dockerSocket('unix:///run/user/1000/docker.sock')).toBe('/run/user/1000/docker.sock');
  });
});
