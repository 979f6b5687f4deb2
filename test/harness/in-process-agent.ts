import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentHost } from '../../src/daemon/host.ts';
import { runAgent } from '../../src/daemon/main.ts';
import type { ReadyAddresses } from '../../src/daemon/ready.ts';
import { type Clock, systemClock } from '../../src/lib/clock.ts';
import { type HttpAnswer, type HttpBody, httpRequest } from './http.ts';

/** A whole agent in this process: real sockets and files, a clock of the test's. */
export interface InProcessAgent {
  readonly ready: ReadyAddresses;
  readonly dataDir: string;
  log(): string;
  http(method: string, path: string, body?: HttpBody, headers?: Readonly<Record<string, string>>): Promise<HttpAnswer>;
  stop(): Promise<void>;
}

export interface InProcessOptions {
  readonly name: string;
  readonly datacenter: string;
  /** As in a file. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
}

/** Starts an agent and resolves once it is ready. */
export async function startInProcess(options: InProcessOptions): Promise<InProcessAgent> {
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-in-process-'));
  const dataDir = join(folder, 'data');
  const { ports, ...given } = options.config ?? {};
  const config = {
    node_name: options.name,
    datacenter: options.datacenter,
    server: true,
    bind_addr: '127.0.0.1',
    data_dir: dataDir,
    ...given,
    ports: { http: 0, dns: 0, server: 0, serf_lan: 0, serf_wan: 0, ...(ports as object | undefined) },
  };
  const file = join(folder, 'config.json');
  writeFileSync(file, JSON.stringify(config));
  const lines: string[] = [];
  let terminate: () => void = () => undefined;
  let running: Promise<number> | undefined;
  const ready = await new Promise<ReadyAddresses>((resolve, reject) => {
    const host: AgentHost = {
      logIsTerminal: false,
      clock: options.clock ?? systemClock,
      log: (line) => void lines.push(line),
      ready: resolve,
      onSignal(signal, handler) {
        if (signal === 'SIGTERM') terminate = handler;
        return () => undefined;
      },
    };
    running = runAgent({ input: { flags: {}, sources: [{ kind: 'file', path: file }], dev: false }, host });
    running.then(() => reject(new Error(`${options.name} ended before it was ready`)), reject);
  });
  return {
    ready,
    dataDir,
    log: () => lines.join(''),
    http: (method, path, body, headers) => httpRequest(`http://${ready.http}${path}`, { method, body, headers }),
    async stop() {
      terminate();
      await running;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
