import { join } from 'node:path';
import type { AgentProcess } from './agent.ts';
import { callAgent } from './call.ts';
import { type ManagedProcess, startProcess } from './managed-process.ts';
import { freePorts } from './ports.ts';

export interface NativeUpstream {
  readonly service?: string;
  readonly query?: string;
  readonly datacenter?: string;
  readonly connectTimeoutMs?: number;
}

export interface NativeOptions {
  /** What its answers begin with; absent: it serves nothing. */
  readonly echo?: string;
  readonly upstreams?: readonly NativeUpstream[];
  /** The address that other datacenters are given, and what leads from there to its port. */
  readonly wan?: { readonly host: string; readonly way: (port: number) => Promise<unknown> };
  readonly token?: string;
}

interface NativeReady {
  readonly port?: number;
  readonly ports: readonly number[];
}

/** An application linked with `isthmus/connect`, as a process of its own. */
export interface NativeApplication {
  readonly process: ManagedProcess<NativeReady>;
  /** Local ports that lead to its upstreams, in their order. */
  readonly upstreamPorts: readonly number[];
  stop(): Promise<unknown>;
}

/** Registers a service as native and starts its application. */
export async function startNative(
  agent: AgentProcess,
  service: string,
  { echo, upstreams = [], wan, token }: NativeOptions,
): Promise<NativeApplication> {
  const port = echo === undefined ? 0 : (await freePorts(1)).first;
  await wan?.way(port);
  await callAgent(agent, 'PUT', '/v1/agent/service/register', {
    Name: service,
    Address: '127.0.0.1',
    ...(echo === undefined ? {} : { Port: port }),
    ...(wan === undefined ? {} : { TaggedAddresses: { wan: { Address: wan.host, Port: port } } }),
    Connect: { Native: true },
  });
  const options = {
    service,
    agent: { address: agent.ready.http, ...(token === undefined ? {} : { token }) },
    ...(echo === undefined ? {} : { echo: { name: echo, port } }),
    upstreams,
  };
  const started = await startProcess<NativeReady>({
    name: `native ${service}`,
    command: process.execPath,
    args: [join(import.meta.dirname, 'native-app.mjs'), JSON.stringify(options)],
    logFile: `${agent.dataDir}.native-${service}.log`,
    readyPrefix: '==> Native ready: ',
  });
  return { process: started, upstreamPorts: started.ready.ports, stop: () => started.stop() };
}
