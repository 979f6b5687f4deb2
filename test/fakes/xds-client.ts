import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from '../../src/edge/xds/gen/envoy/service/discovery/v3/discovery_pb.ts';
import { XDS_TYPE_INFO, type XdsType } from '../../src/edge/xds/types.ts';
import { AsyncQueue } from '../../src/lib/queue.ts';
import { adsService } from './ads-service.ts';

export interface XdsStreamOptions {
  readonly address: string;
  readonly proxyId?: string;
  readonly token?: string;
  /** Over TLS: the authority of the agent's certificate. */
  readonly caPem?: string;
}

/** A stand-in for an Envoy: says what a test wants, and shows what it is sent. */
export class XdsClient<Init, Request, Response> {
  readonly #client: Client;
  readonly #call: ClientDuplexStream<Request, Response>;
  readonly #make: (init: Init) => Request;
  readonly #received = new AsyncQueue<Response>();
  readonly #iterator: AsyncIterator<Response>;
  /** Why the stream ended. */
  readonly ended: Promise<ServiceError>;

  constructor(client: Client, call: ClientDuplexStream<Request, Response>, make: (init: Init) => Request) {
    this.#client = client;
    this.#call = call;
    this.#make = make;
    this.#iterator = this.#received[Symbol.asyncIterator]();
    call.on('data', (response: Response) => this.#received.push(response));
    this.ended = new Promise((resolve) => call.on('error', (error: ServiceError) => resolve(error)));
  }

  send(init: Init): void {
    this.#call.write(this.#make(init));
  }

  /** The next message. */
  async next(): Promise<Response> {
    return (await this.#iterator.next()).value as Response;
  }

  pause(): void {
    this.#call.pause();
  }

  resume(): void {
    this.#call.resume();
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }
}

type DeltaInit = Exclude<MessageInitShape<typeof DeltaDiscoveryRequestSchema>, DeltaDiscoveryRequest> & {
  readonly type: XdsType;
};
type WholeInit = Exclude<MessageInitShape<typeof DiscoveryRequestSchema>, DiscoveryRequest> & {
  readonly type: XdsType;
};

export type DeltaClient = XdsClient<DeltaInit, DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
export type WholeClient = XdsClient<WholeInit, DiscoveryRequest, DiscoveryResponse>;

export function deltaClient(options: XdsStreamOptions): DeltaClient {
  const { client, metadata } = connection(options);
  const { path, requestSerialize, responseDeserialize } = adsService.DeltaAggregatedResources;
  return new XdsClient(
    client,
    client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata),
    ({ type, ...rest }) => create(DeltaDiscoveryRequestSchema, { typeUrl: XDS_TYPE_INFO[type].url, ...rest }),
  );
}

/** State of the world. */
export function wholeClient(options: XdsStreamOptions): WholeClient {
  const { client, metadata } = connection(options);
  const { path, requestSerialize, responseDeserialize } = adsService.StreamAggregatedResources;
  return new XdsClient(
    client,
    client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata),
    ({ type, ...rest }) => create(DiscoveryRequestSchema, { typeUrl: XDS_TYPE_INFO[type].url, ...rest }),
  );
}

function connection({ address, token, caPem }: XdsStreamOptions): {
  readonly client: Client;
  readonly metadata: Metadata;
} {
  const metadata = new Metadata();
  if (token !== undefined) metadata.set('x-consul-token', token);
  const channel =
    caPem === undefined ? credentials.createInsecure() : credentials.createSsl(Buffer.from(caPem), null, null);
  const client = new Client(address, channel, {
    'grpc.use_local_subchannel_pool': 1,
    ...(caPem === undefined ? {} : { 'grpc.ssl_target_name_override': 'server.dc1.consul' }),
  });
  return { client, metadata };
}
