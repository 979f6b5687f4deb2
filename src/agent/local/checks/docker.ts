import { request } from 'node:http';
import type { Clock } from '../../../lib/clock.ts';
import { formatDuration } from '../../../lib/duration.ts';
import { hasCode } from '../../../lib/errors.ts';
import { LastBytes } from '../../../lib/last-bytes.ts';
import { sleep } from '../../../lib/signals.ts';
import type { CheckResult } from './runner.ts';
import { capturedOutput, exitStatus } from './script.ts';
import { withinTime } from './time-limit.ts';

export interface DockerProbe {
  /** Path of the Docker daemon's socket. */
  readonly socketPath: string;
  readonly container: string;
  readonly args: readonly string[];
  readonly timeoutMs: number;
  /** Bytes of output that are kept: the last ones. */
  readonly maxOutput: number;
}

/** Where Docker's daemon listens; `DOCKER_HOST` may name another socket. */
export function dockerSocket(host: string | undefined): string {
  return host?.startsWith('unix://') === true ? host.slice('unix://'.length) : '/var/run/docker.sock';
}

/** Runs the command of one check in a container, as often as it is asked to. */
export type DockerProber = (signal: AbortSignal) => Promise<CheckResult>;

/** Of an answer that is no output of the command. */
const MAX_ANSWER = 65_536;
const INSPECT_PAUSE_MS = 100;

interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly written: number;
}

/**
 * Exit code 0 is passing, 1 warning, all else critical. Docker can't end what it runs in a container: while the run
 * before goes on there, no other one is started.
 */
export function dockerProber(clock: Clock, probe: DockerProbe): DockerProber {
  let before: string | undefined;
  return async (signal) => {
    try {
      return await withinTime(clock, probe.timeoutMs, signal, async (limited) => {
        if (before !== undefined && (await exitCode(probe, before, limited)) === undefined)
          return { status: 'critical', output: 'the run of this check before goes on in the container' };
        before = await createExec(probe, limited);
        const { body, written } = await startExec(probe, before, limited);
        let code = await exitCode(probe, before, limited);
        // Its outputs may be closed before it has ended.
        while (code === undefined) {
          await sleep(clock, INSPECT_PAUSE_MS, limited);
          code = await exitCode(probe, before, limited);
        }
        before = undefined;
        return { status: exitStatus(code), output: capturedOutput(body, written) };
      });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const late = code === 'ETIMEDOUT' || hasCode(error, 'cancelled');
      return {
        status: 'critical',
        output: late ? `Timed out (${formatDuration(probe.timeoutMs)}) running check` : message,
      };
    }
  };
}

async function createExec(probe: DockerProbe, signal: AbortSignal): Promise<string> {
  const { container } = probe;
  const failed = `create exec failed for container ${container}`;
  const answer = await call(probe, 'POST', `/containers/${encodeURIComponent(container)}/exec`, signal, failed, {
    AttachStdin: false,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    Cmd: probe.args,
  });
  if (answer.status === 404) throw new Error(`create exec failed for unknown container ${container}`);
  if (answer.status === 409) throw new Error(`create exec failed since container ${container} is paused or stopped`);
  if (answer.status !== 201) throw new Error(`${failed} with status ${answer.status}: ${textOf(answer)}`);
  const id = (parsed(answer) as { readonly Id?: unknown } | undefined)?.Id;
  if (typeof id !== 'string' || id === '')
    throw new Error(`create exec response for container ${container} cannot be parsed`);
  return id;
}

async function startExec(probe: DockerProbe, id: string, signal: AbortSignal): Promise<Answer> {
  const failed = `start exec failed for container ${probe.container}`;
  const path = `/exec/${encodeURIComponent(id)}/start`;
  const answer = await call(probe, 'POST', path, signal, failed, { Detach: false, Tty: false }, probe.maxOutput);
  if (answer.status === 404) throw new Error(`${failed}: invalid exec id ${id}`);
  if (answer.status === 409)
    throw new Error(`start exec failed since container ${probe.container} is paused or stopped`);
  if (answer.status !== 200) throw new Error(`${failed} with status ${answer.status}: ${textOf(answer)}`);
  return answer;
}

/** Undefined while it runs. */
async function exitCode(probe: DockerProbe, id: string, signal: AbortSignal): Promise<number | undefined> {
  const failed = `inspect exec failed for container ${probe.container}`;
  const answer = await call(probe, 'GET', `/exec/${encodeURIComponent(id)}/json`, signal, failed);
  if (answer.status === 404) return -1; // Docker forgets what is over, and all when it starts anew
  if (answer.status !== 200) throw new Error(`${failed} with status ${answer.status}: ${textOf(answer)}`);
  const { ExitCode, Running } = (parsed(answer) ?? {}) as { readonly ExitCode?: unknown; readonly Running?: unknown };
  if (Running === true) return undefined;
  if (typeof ExitCode !== 'number')
    throw new Error(`inspect exec response for container ${probe.container} cannot be parsed`);
  return ExitCode;
}

/** @param maxOutput given where the answer is what a command writes, in Docker's frames. */
function call(
  probe: DockerProbe,
  method: string,
  path: string,
  signal: AbortSignal,
  failed: string,
  body?: unknown,
  maxOutput?: number,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const sent = request(
      {
        socketPath: probe.socketPath,
        method,
        path,
        signal,
        agent: false,
        headers: {
          Host: 'docker',
          ...(text === undefined
            ? {}
            : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
        },
      },
      (response) => {
        const status = response.statusCode ?? 0;
        const framed = maxOutput !== undefined && status === 200;
        const kept = new LastBytes(framed ? maxOutput : MAX_ANSWER);
        const frames = new Frames((chunk) => kept.write(chunk));
        response.on('data', (chunk: Buffer) => {
          if (framed) frames.write(chunk);
          else kept.write(chunk);
        });
        response.on('end', () => resolve({ status, body: kept.bytes(), written: kept.total }));
        response.on('error', fail);
      },
    );
    const fail = (error: NodeJS.ErrnoException): void => {
      if (signal.aborted) reject(signal.reason);
      else if (error.code === 'ENOENT' || error.code === 'EACCES' || error.code === 'ECONNREFUSED')
        reject(new Error(`${failed}: ${sentTo(probe, method, path)}: connect: ${SOCKET_TEXTS[error.code]}`));
      else reject(new Error(`${failed}: ${error.message}`));
    };
    sent.on('error', fail);
    sent.end(text);
  });
}

/** As Go says it, which operators of Consul know. */
function sentTo({ socketPath }: DockerProbe, method: string, path: string): string {
  const verb = method.charAt(0) + method.slice(1).toLowerCase();
  return `${verb} "http://${encodeURIComponent(socketPath)}${path}": dial unix ${socketPath}`;
}

const SOCKET_TEXTS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  ECONNREFUSED: 'connection refused',
};

function parsed({ body }: Answer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function textOf({ body }: Answer): string {
  return body.subarray(0, 512).toString('utf8').trim();
}

/**
 * Takes apart what Docker sends of a command without a terminal: frames of 8 bytes of head, the last four the length,
 * then as many bytes of one output.
 */
class Frames {
  readonly #take: (chunk: Buffer) => void;
  #head = Buffer.alloc(0);
  #left = 0;

  constructor(take: (chunk: Buffer) => void) {
    this.#take = take;
  }

  write(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left > 0) {
        const part = rest.subarray(0, this.#left);
        this.#take(part);
        this.#left -= part.length;
        rest = rest.subarray(part.length);
        continue;
      }
      const missing = 8 - this.#head.length;
      this.#head = Buffer.concat([this.#head, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (this.#head.length < 8) return;
      this.#left = this.#head.readUInt32BE(4);
      this.#head = Buffer.alloc(0);
    }
  }
}
