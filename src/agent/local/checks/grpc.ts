import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import type { Clock } from '../../../lib/clock.ts';
import { type CheckTls, checkAddress, serverNameOf } from './dial.ts';
import { dialError } from './dial-error.ts';
import { resolveWithin, USUAL_REACH } from './reach.ts';
import type { CheckResult } from './runner.ts';
import { withinTime } from './time-limit.ts';

const METHOD = '/grpc.health.v1.Health/Check';
/** Of grpc.health.v1.HealthCheckResponse. */
const SERVING_STATUS = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
/** An answer has a few bytes. */
const MAX_ANSWER = 4_096;

/** Passing when the health service (grpc.health.v1) at `target`, "host:port" or "host:port/service", says SERVING. */
export async function probeGrpc(
  clock: Clock,
  target: string,
  timeoutMs: number,
  signal: AbortSignal,
  reach = USUAL_REACH,
  tls?: CheckTls,
): Promise<CheckResult> {
  const slash = target.indexOf('/');
  const address = slash < 0 ? target : target.slice(0, slash);
  const service = slash < 0 ? '' : target.slice(slash + 1);
  try {
    const { host, port } = checkAddress(address, 'tcp');
    // Resolved here: grpc-js would ask for the name itself, and dial what checks must not connect to.
    const { address: ip, family } = await resolveWithin(host, reach);
    const client = new Client(family === 6 ? `ipv6:[${ip}]:${port}` : `ipv4:${ip}:${port}`, channelCredentials(tls), {
      'grpc.default_authority': address,
      'grpc.enable_http_proxy': 0,
      'grpc.enable_retries': 0,
      'grpc.max_receive_message_length': MAX_ANSWER,
      'grpc.service_config_disable_resolution': 1,
      'grpc.use_local_subchannel_pool': 1,
      ...(tls === undefined ? {} : { 'grpc.ssl_target_name_override': serverNameOf(host, tls) ?? host }),
    });
    try {
      const serving = await withinTime(clock, timeoutMs, signal, (limited) => askHealth(client, service, limited));
      if (serving === 'SERVING') return { status: 'passing', output: `gRPC check ${target}: success` };
      return { status: 'critical', output: `gRPC ${target} serving status: ${serving}` };
    } finally {
      client.close();
    }
  } catch (error) {
    return { status: 'critical', output: rpcError(error, address) };
  }
}

function channelCredentials(tls: CheckTls | undefined): ReturnType<typeof credentials.createInsecure> {
  if (tls === undefined) return credentials.createInsecure();
  return credentials.createSsl(null, null, null, tls.skipVerify ? { rejectUnauthorized: false } : {});
}

function askHealth(client: Client, service: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = client.makeUnaryRequest(
      METHOD,
      (name: string) => Buffer.from(new BinaryWriter().uint32(10).string(name).finish()),
      servingStatus,
      service,
      (error, serving) => {
        signal.removeEventListener('abort', onAbort);
        if (error === null) resolve(serving ?? 'UNKNOWN');
        else reject(signal.aborted ? signal.reason : error);
      },
    );
    const onAbort = (): void => call.cancel();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

/** Field 1 of grpc.health.v1.HealthCheckResponse; a value without a name is shown as its number. */
function servingStatus(bytes: Buffer): string {
  const reader = new BinaryReader(bytes);
  let serving = 0;
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag();
    if (field === 1 && wire === 0) serving = reader.int32();
    else reader.skip(wire);
  }
  return SERVING_STATUS[serving] ?? String(serving);
}

/** As Go's gRPC says it, which operators of Consul know. */
function rpcError(error: unknown, address: string): string {
  const { code } = error as Partial<ServiceError>;
  if (typeof code !== 'number') {
    const text = dialError(error, address);
    return text.endsWith('i/o timeout') ? 'rpc error: code = DeadlineExceeded desc = context deadline exceeded' : text;
  }
  const { details } = error as ServiceError;
  const name = code === status.CANCELLED ? 'Canceled' : (status[code] ?? '').replace(/_?([A-Z])([A-Z]*)/g, capital);
  const refused = /ECONNREFUSED/.test(details);
  const why = refused
    ? `connection error: desc = "transport: Error while dialing: dial tcp ${address}: connect: connection refused"`
    : details;
  return `rpc error: code = ${name} desc = ${why}`;
}

function capital(_all: string, first: string, rest: string): string {
  return first + rest.toLowerCase();
}
