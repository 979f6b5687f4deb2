/**
 * Stand-ins for Envoys, in a process of their own: each follows a proxy by delta xDS, confirms what it gets, and keeps
 * nothing of it. The parent sends which proxies to follow, and then ports, one after the other: it is answered when
 * every stream has been given an endpoint with that port.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { fromBinary } from '@bufbuild/protobuf';
import { ClusterLoadAssignmentSchema } from '../src/edge/xds/gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import type { DeltaDiscoveryResponse } from '../src/edge/xds/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { XDS_TYPE_INFO, xdsTypeOf } from '../src/edge/xds/types.ts';
import { type DeltaClient, deltaClient } from '../test/fakes/xds-client.ts';

/** Streams that are being opened at a time. */
const AT_ONCE = 20;

interface Follow {
  readonly address: string;
  readonly proxies: readonly string[];
}

/** The parent's end. */
export class XdsClients {
  readonly #child: ChildProcess = fork(fileURLToPath(import.meta.url), ['child']);
  readonly #ended = once(this.#child, 'exit').then(() => {
    throw new Error('the stub clients ended');
  });

  constructor() {
    this.#ended.catch(() => undefined); // whoever waits for an answer hears of it
  }

  /** Resolves when all have an endpoint. */
  follow(what: Follow): Promise<void> {
    return this.#ask(what);
  }

  /** Resolves when the last stream has been given this port. */
  seen(port: number): Promise<void> {
    return this.#ask({ port });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }

  async #ask(message: Follow | { readonly port: number }): Promise<void> {
    const answered = once(this.#child, 'message');
    this.#child.send(message);
    await Promise.race([answered, this.#ended]);
  }
}

/** One that has subscribed; `onPort` hears of each endpoint. */
async function open(address: string, id: string, onPort: (port: number) => void): Promise<void> {
  const client = deltaClient({ address });
  client.send({ type: 'cluster', node: { id } });
  client.send({ type: 'listener' });
  await new Promise<void>((resolve) => {
    read(client, (port) => {
      resolve();
      onPort(port);
    }).catch(fail);
  });
}

/** The parent notices that this process has ended. */
function fail(error: unknown): never {
  console.error(error);
  process.exit(1);
}

async function read(client: DeltaClient, onPort: (port: number) => void): Promise<void> {
  client.ended.then(fail).catch(fail);
  for (;;) {
    const response = await client.next();
    const type = xdsTypeOf(response.typeUrl);
    if (type === undefined) throw new Error(`unknown type ${response.typeUrl}`);
    client.send({ type, responseNonce: response.nonce });
    if (type === 'cluster')
      client.send({ type: 'endpoints', resourceNamesSubscribe: response.resources.map(({ name }) => name) });
    if (type === 'endpoints') for (const port of portsOf(response)) onPort(port);
  }
}

function portsOf({ resources }: DeltaDiscoveryResponse): readonly number[] {
  return resources.flatMap(({ resource }) => {
    if (resource?.typeUrl !== XDS_TYPE_INFO.endpoints.url) return [];
    return fromBinary(ClusterLoadAssignmentSchema, resource.value).endpoints.flatMap(({ lbEndpoints }) =>
      lbEndpoints.flatMap(({ hostIdentifier }) => {
        const address = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
        if (address?.case !== 'socketAddress') return [];
        const { portSpecifier } = address.value;
        return portSpecifier.case === 'portValue' ? [portSpecifier.value] : [];
      }),
    );
  });
}

function runChild(): void {
  let streams = 0;
  let awaited: number | undefined;
  const latest = new Map<string, number>();
  const check = (): void => {
    if (awaited === undefined || latest.size < streams) return;
    for (const port of latest.values()) if (port !== awaited) return;
    awaited = undefined;
    process.send?.({ seen: true });
  };
  const follow = async ({ address, proxies }: Follow): Promise<void> => {
    streams = proxies.length;
    const queue = [...proxies];
    const lane = async (): Promise<void> => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
        const proxy = id;
        await open(address, proxy, (port) => {
          latest.set(proxy, port);
          check();
        });
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    process.send?.({ follows: true });
  };
  process.on('message', (message: Follow | { readonly port: number }) => {
    if ('proxies' in message) follow(message).catch(fail);
    else {
      awaited = message.port;
      check();
    }
  });
  process.on('disconnect', () => process.exit(0));
}

if (process.argv[2] === 'child' && process.argv[1] === fileURLToPath(import.meta.url)) runChild();
