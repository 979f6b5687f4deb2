import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import type { AgentParts } from '../../src/edge/http/agent-parts.ts';
import { createHttpEdge, type HttpEdge, type HttpEdgeDeps, type HttpEdgeOptions } from '../../src/edge/http/edge.ts';
import type { Route } from '../../src/edge/http/route.ts';
import { apiRoutes } from '../../src/edge/http/routes/all.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { systemClock } from '../../src/lib/clock.ts';
import type { CallOptions, ReadOptions, ReadResult, ServerContract } from '../../src/rpc/contract/contract.ts';
import { makeResult } from '../../src/rpc/contract/result.ts';
import type { SnapshotContract } from '../../src/rpc/contract/snapshots.ts';
import { type Logger, noLog, noMetrics } from '../../src/telemetry/types.ts';

/** For tests: an edge on a free port over a contract whose answers the test decides. */

export interface Call {
  readonly name: string;
  readonly args: unknown;
  readonly options: ReadOptions & CallOptions;
}

export interface FakeContract extends ServerContract {
  readonly calls: Call[];
  /** Decides what reads give; may throw. */
  onRead: (call: Call) => unknown | Promise<unknown>;
  onWrite: (call: Call) => unknown | Promise<unknown>;
}

export function fakeContract(): FakeContract {
  const calls: Call[] = [];
  const fake = {
    calls,
    onRead: (): unknown => [],
    onWrite: (): unknown => true,
    async read(name: string, args: unknown, options: ReadOptions): Promise<ReadResult<unknown>> {
      const call = { name, args, options };
      calls.push(call);
      const value = await (fake.onRead as FakeContract['onRead'])(call);
      return isResult(value) ? value : makeResult({ index: 17, value });
    },
    async write(name: string, args: unknown, options: CallOptions): Promise<unknown> {
      const call = { name, args, options };
      calls.push(call);
      return { value: await (fake.onWrite as FakeContract['onWrite'])(call), revision: 1 };
    },
    watch(): never {
      throw new Error('the edge does not watch');
    },
  };
  return fake as unknown as FakeContract;
}

export interface TestEdge {
  readonly edge: HttpEdge;
  readonly contract: FakeContract;
  readonly port: number;
  get(path: string, headers?: Readonly<Record<string, string>>): Promise<TestAnswer>;
  send(
    method: string,
    path: string,
    body?: string | Buffer,
    headers?: Readonly<Record<string, string>>,
  ): Promise<TestAnswer>;
  /** Writes bytes as they are and gives all that comes back until the connection is closed. */
  raw(bytes: string): Promise<string>;
  stop(): Promise<void>;
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

export interface TestEdgeOptions extends Partial<HttpEdgeOptions> {
  readonly agent?: Partial<AgentParts>;
  readonly snapshots?: SnapshotContract;
  readonly routes?: readonly Route[];
  readonly around?: HttpEdgeDeps['around'];
  readonly clock?: Clock;
  readonly log?: Logger;
  readonly heartbeatMs?: number;
}

export async function startTestEdge(options: TestEdgeOptions = {}): Promise<TestEdge> {
  const {
    agent,
    snapshots = {} as SnapshotContract,
    routes,
    around,
    clock = systemClock,
    log = noLog,
    heartbeatMs,
    ...edgeOptions
  } = options;
  const contract = fakeContract();
  const parts = { nodeName: 'dc1-s1', sidecars: {}, access: {}, ...agent } as AgentParts;
  const edge = createHttpEdge(
    {
      routes: [
        ...apiRoutes({
          contract,
          snapshots: snapshots,
          agent: parts,
          datacenter: 'dc1',
          clock,
          ...(heartbeatMs !== undefined && { heartbeatMs }),
        }),
        ...(routes ?? []),
      ],
      ...(around === undefined ? {} : { around }),
      clock,
      log,
      metrics: noMetrics,
    },
    { listeners: [{ kind: 'tcp', host: '127.0.0.1', port: 0 }], defaultPolicy: 'allow', ...edgeOptions },
  );
  await edge.start(new AbortController().signal);
  const port = edge.addresses[0]?.port ?? 0;
  const send: TestEdge['send'] = (method, path, body, headers) =>
    new Promise((resolve, reject) => {
      const request = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers as Record<string, string>,
            body: Buffer.concat(chunks).toString(),
          }),
        );
      });
      request.on('error', reject);
      request.end(body);
    });
  return {
    edge,
    contract,
    port,
    send,
    get: (path, headers) => send('GET', path, undefined, headers),
    raw: (bytes) =>
      new Promise((resolve, reject) => {
        const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
        let text = '';
        socket.setEncoding('latin1');
        socket.on('data', (chunk: string) => {
          text += chunk;
        });
        socket.on('error', reject);
        socket.on('close', () => resolve(text));
      }),
    stop: () => edge.stop(),
  };
}

function isResult(value: unknown): value is ReadResult<unknown> {
  return typeof value === 'object' && value !== null && 'lastContactMs' in value;
}
