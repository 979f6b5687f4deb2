/**
 * Stand-ins for Envoys, in a process of their own: each follows a proxy by delta xDS, confirms what it gets, and keeps
 * nothing of it. The parent sends which proxies to follow, and then ports, one after the other: it is answered when
 * every stream has been given an endpoint with that port.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { fileURLToPath } from 'node:url';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { ClusterLoadAssignmentSchema } from '../src/edge/xds/gen/envoy/config/endpoint/v3/endpoint_pb.ts';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  ResourceSchema,
} from '../src/edge/xds/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { HEAD_BYTES, MessageReader } from '../src/edge/xds/message-reader.ts';
import { XDS_TYPE_INFO, type XdsType, xdsTypeOf } from '../src/edge/xds/types.ts';

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

/**
 * One that has subscribed; `onPort` hears of each endpoint. It speaks HTTP/2 itself and reads no more of a message than
 * it must: what is measured is the agent, and five hundred of these share the machine with it.
 */
async function open(address: string, id: string, onPort: (port: number) => void): Promise<void> {
  const session = connect(`http://${address}`);
  session.on('error', fail).on('close', fail);
  const stream = session.request({
    ':method': 'POST',
    ':path': '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const send = (type: XdsType, rest: MessageInitShape<typeof DeltaDiscoveryRequestSchema> = {}): void => {
    const { url } = XDS_TYPE_INFO[type];
    const request = create(DeltaDiscoveryRequestSchema, { ...rest, typeUrl: url } as typeof rest);
    stream.write(framed(toBinary(DeltaDiscoveryRequestSchema, request)));
  };
  stream.on('error', fail).on('close', fail).on('trailers', fail);
  send('cluster', { node: { id } });
  send('listener');
  await new Promise<void>((resolve) => {
    const reader = new MessageReader(MAX_MESSAGE);
    stream.on('data', (piece: Buffer) => {
      reader.add(piece);
      for (let message = reader.next(); message !== undefined; message = reader.next()) {
        const { type, nonce, resources } = read(message);
        send(type, { responseNonce: nonce });
        if (type === 'cluster') send('endpoints', { resourceNamesSubscribe: namesOf(message) });
        if (type !== 'endpoints') continue;
        resolve();
        for (const port of resources.flatMap(portsOf)) onPort(port);
      }
    });
  });
}

const MAX_MESSAGE = 64 * 1_024 * 1_024;

function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The parent notices that this process has ended. */
function fail(error: unknown): never {
  console.error(error ?? 'a stream ended');
  process.exit(1);
}

/** The parts of a `DeltaDiscoveryResponse` that each stub needs, its resources as bytes. */
function read(message: Uint8Array): {
  readonly type: XdsType;
  readonly nonce: string;
  readonly resources: readonly Uint8Array[];
} {
  const reader = new BinaryReader(message);
  const resources: Uint8Array[] = [];
  let url = '';
  let nonce = '';
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 2) resources.push(reader.bytes());
    else if (field === 4) url = reader.string();
    else if (field === 5) nonce = reader.string();
    else reader.skip(wireType);
  }
  const type = xdsTypeOf(url);
  if (type === undefined) throw new Error(`unknown type ${url}`);
  return { type, nonce, resources };
}

function namesOf(message: Uint8Array): string[] {
  return fromBinary(DeltaDiscoveryResponseSchema, message).resources.map(({ name }) => name);
}

/** All stubs are given the same bytes: they are read once. */
const PORTS = new Map<string, readonly number[]>();

function portsOf(resource: Uint8Array): readonly number[] {
  const key = Buffer.from(resource.buffer, resource.byteOffset, resource.byteLength).toString('latin1');
  let ports = PORTS.get(key);
  if (ports === undefined) {
    const { value } = fromBinary(ResourceSchema, resource).resource ?? {};
    ports = fromBinary(ClusterLoadAssignmentSchema, value ?? new Uint8Array()).endpoints.flatMap(({ lbEndpoints }) =>
      lbEndpoints.flatMap(({ hostIdentifier }) => {
        const address = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
        if (address?.case !== 'socketAddress') return [];
        const { portSpecifier } = address.value;
        return portSpecifier.case === 'portValue' ? [portSpecifier.value] : [];
      }),
    );
    PORTS.set(key, ports);
  }
  return ports;
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
