/**
 * Two built-in sidecars as processes of their own, with an application and a client in a third one: new connections a
 * second, round trip, throughput, all over tunnels.
 * Run: `npx tsc -p tsconfig.tools.json`, then node .tmp/tools/bench/sidecar.js [seconds].
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../src/lib/clock.ts';
import type { SidecarUpdate } from '../src/model/sidecar.ts';
import { createSidecar } from '../src/sidecar/sidecar.ts';
import { noLog, noMetrics } from '../src/telemetry/types.ts';
import {
  ALLOW_ALL,
  FakeAuthority,
  FakeSidecarSource,
  fakeConfig,
  fakeEndpoint,
  fakeUpstream,
} from '../test/fakes/fake-mesh.ts';
import { openFor, ROUND_TRIPS, roundTrip, startApplication, TRANSFER_BYTES, transfer } from './application.ts';

interface SidecarFigures {
  readonly connectionsPerSecond: number;
  readonly connections: number;
  /** CPU of the inbound and the outbound sidecar for one connection, milliseconds. */
  readonly cpuMsPerConnection: readonly [number, number];
  readonly roundTripP50Us: number;
  readonly roundTrips: number;
  readonly megabytesPerSecond: number;
  readonly megabytes: number;
  /** CPU of the inbound and the outbound sidecar for one gigabyte, milliseconds. */
  readonly cpuMsPerGigabyte: readonly [number, number];
}

const UPSTREAM = fakeUpstream('db', 'dc2');

/** The sidecar process: told what to be by its parent, it answers with its address and its CPU time. */
function runChild(): void {
  const answer = async (message: { first?: Omit<SidecarUpdate, 'version'>; cpu?: true }): Promise<void> => {
    if (message.first !== undefined) {
      const source = new FakeSidecarSource(message.first);
      const sidecar = createSidecar({ source, clock: systemClock, log: noLog, metrics: noMetrics });
      await sidecar.start(new AbortController().signal);
      process.send?.(sidecar.addresses());
    }
    if (message.cpu === true) {
      const { user, system } = process.cpuUsage();
      process.send?.((user + system) / 1_000);
    }
  };
  process.on('message', (message: Parameters<typeof answer>[0]) => {
    answer(message).catch((error: unknown) => {
      console.error(error);
      process.exit(1);
    });
  });
  process.on('disconnect', () => process.exit(0));
}

async function ask<T>(child: ChildProcess, message: object): Promise<T> {
  const answer = once(child, 'message');
  child.send(message);
  return (await answer)[0] as T;
}

async function measureSidecars(seconds = 3): Promise<SidecarFigures> {
  const ca = new FakeAuthority();
  const app = await startApplication();
  const children: ChildProcess[] = [];
  const spawn = async (
    first: Omit<SidecarUpdate, 'version'>,
  ): Promise<{ listen?: string; upstreams: Record<string, string> }> => {
    const child = fork(fileURLToPath(import.meta.url), ['child']);
    children.push(child);
    return await ask(child, { first });
  };
  try {
    const inbound = await spawn({
      config: fakeConfig({ service: 'db', datacenter: 'dc2', localPort: app.port }),
      roots: ca.roots(),
      leaf: ca.leaf('db', 'dc2'),
      verdicts: ALLOW_ALL,
    });
    const outbound = await spawn({
      config: fakeConfig({ service: 'web', datacenter: 'dc1', upstreams: [UPSTREAM] }),
      roots: ca.roots(),
      leaf: ca.leaf('web', 'dc1'),
      verdicts: ALLOW_ALL,
      endpoints: { [UPSTREAM.key]: [fakeEndpoint(inbound.listen ?? '', 'db', 'dc2')] },
    });
    const address = outbound.upstreams[UPSTREAM.key] ?? '';
    const port = Number(address.slice(address.lastIndexOf(':') + 1));
    const cpu = (): Promise<[number, number]> =>
      Promise.all(children.map((child) => ask<number>(child, { cpu: true }))) as Promise<[number, number]>;

    await openFor(port, 1_000); // warm
    const before = await cpu();
    const { connections, elapsedMs } = await openFor(port, seconds * 1_000);
    const after = await cpu();
    const roundTripP50Us = await roundTrip(port);
    const beforeTransfer = await cpu();
    const megabytesPerSecond = await transfer(port);
    const afterTransfer = await cpu();
    const gigabytes = TRANSFER_BYTES / 1e9;
    return {
      connectionsPerSecond: (connections * 1_000) / elapsedMs,
      connections,
      cpuMsPerConnection: [(after[0] - before[0]) / connections, (after[1] - before[1]) / connections],
      roundTripP50Us,
      roundTrips: ROUND_TRIPS,
      megabytesPerSecond,
      megabytes: TRANSFER_BYTES / 1e6,
      cpuMsPerGigabyte: [
        (afterTransfer[0] - beforeTransfer[0]) / gigabytes,
        (afterTransfer[1] - beforeTransfer[1]) / gigabytes,
      ],
    };
  } finally {
    for (const child of children) child.disconnect();
    app.close();
  }
}

if (process.argv[2] === 'child') runChild();
else if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const figures = await measureSidecars(Number(process.argv[2] ?? 3));
  const { connectionsPerSecond, connections, cpuMsPerConnection, roundTripP50Us, megabytesPerSecond } = figures;
  const [cpuIn, cpuOut] = cpuMsPerConnection.map((ms) => ms.toFixed(2));
  const [bulkIn, bulkOut] = figures.cpuMsPerGigabyte.map((ms) => (ms / 1_000).toFixed(2));
  console.log(
    `new connections  ${connectionsPerSecond.toFixed(0)} /s (${connections}; CPU ${cpuIn} ms in, ${cpuOut} ms out)`,
  );
  console.log(`round trip p50   ${roundTripP50Us.toFixed(0)} µs (${ROUND_TRIPS})`);
  console.log(
    `throughput       ${megabytesPerSecond.toFixed(0)} MB/s (${TRANSFER_BYTES / 1e6} MB; CPU s/GB ${bulkIn} in, ` +
      `${bulkOut} out)`,
  );
}
