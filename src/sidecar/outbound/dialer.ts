import type { Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { foldName } from '../../model/names.ts';
import type { SidecarEndpoint } from '../../model/sidecar.ts';
import type { SidecarMeters } from '../meters.ts';
import type { RefusalReason } from '../refusals.ts';
import {
  isTrusted,
  type Peer,
  type PeerReader,
  PeerRefused,
  type ShownCertificate,
  verificationReason,
} from '../wire/peer.ts';
import { codeOf, connectTcp, hostPort, ignoreError } from '../wire/sockets.ts';
import type { Trust } from '../wire/trust.ts';
import { TUNNEL_PROTOCOL } from '../wire/tunnel.ts';

/** Why an instance could not be reached. */
export class DialError extends IsthmusError {
  readonly reason: RefusalReason;
  /** Another instance may answer otherwise. */
  readonly retry: boolean;

  constructor(
    reason: RefusalReason,
    message: string,
    options: { retry: boolean; details?: Readonly<Record<string, unknown>>; cause?: unknown },
  ) {
    super(reason === 'denied' ? 'permission_denied' : 'unavailable', message, {
      details: options.details ?? {},
      cause: options.cause,
    });
    this.reason = reason;
    this.retry = options.retry;
  }
}

/** A mutual TLS connection whose other side is the service that was dialled. */
export interface Dialled {
  readonly tls: TLSSocket;
  /** Below `tls`; a reset goes here. */
  readonly raw: Socket;
  readonly peer: Peer;
  /** The other side is a built-in sidecar and expects HTTP/2. */
  readonly tunnel: boolean;
}

export interface DialerDeps {
  readonly clock: Clock;
  readonly meters: Pick<SidecarMeters, 'handshake'>;
  readonly peers: PeerReader;
  readonly trust: () => Trust;
}

export interface DialOptions {
  readonly timeoutMs: number;
  /** Offered by ALPN. None to those that end the handshake over a name they don't know. */
  readonly protocols: readonly string[];
}

/** What a TLS server that insists on a protocol of its own answers (RFC 7301, 3.2). */
const NO_PROTOCOL = 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL';
const HOST_NAME = /^[a-z0-9-]+(?:\.[a-z0-9-]+)*$/i;

/** The other side knows no tunnels and refuses a handshake that names them. */
export function isProtocolRefusal(error: unknown): boolean {
  return error instanceof DialError && codeOf(error.cause) === NO_PROTOCOL;
}

export class Dialer {
  readonly #deps: DialerDeps;

  constructor(deps: DialerDeps) {
    this.#deps = deps;
  }

  /** Throws {@link DialError}. */
  async dial(endpoint: SidecarEndpoint, options: DialOptions): Promise<Dialled> {
    const { clock, meters } = this.#deps;
    const startedAt = clock.steady();
    const { socket: raw, connected } = connectTcp({
      address: endpoint.address,
      port: endpoint.port,
      timeoutMs: options.timeoutMs,
      clock,
      keepAlive: true,
    });
    try {
      await connected;
    } catch (error) {
      throw new DialError('unreachable', IsthmusError.from(error).message, { retry: true, cause: error });
    }
    const left = Math.max(1, options.timeoutMs - (clock.steady() - startedAt));
    const dialled = await this.#handshake(raw, endpoint, left, options.protocols);
    meters.handshake.observe((clock.steady() - startedAt) / 1_000, { direction: 'outbound' });
    return dialled;
  }

  #handshake(
    raw: Socket,
    endpoint: SidecarEndpoint,
    timeoutMs: number,
    protocols: readonly string[],
  ): Promise<Dialled> {
    const { clock, peers, trust } = this.#deps;
    const before = trust();
    const where = hostPort(endpoint.address, endpoint.port);
    let peer: Peer | undefined;
    return new Promise((resolve, reject) => {
      const tls = connectTls({
        socket: raw,
        ...dialOptions(before, endpoint, (certificate) => {
          peer = peers.ofDialled(certificate, before, clock.now(), endpoint.address);
          return peer;
        }),
        ...(protocols.length > 0 ? { ALPNProtocols: [...protocols] } : {}),
      });
      const fail = (error: DialError): void => {
        settle();
        tls.destroy();
        reject(error);
      };
      const timer = clock.after(timeoutMs, () => {
        fail(new DialError('handshake_timeout', `no TLS handshake with ${where} within the time-out`, { retry: true }));
      });
      const onError = (error: Error): void => fail(dialError(error, where));
      const onClose = (): void => {
        fail(new DialError('handshake_failed', `${where} closed during the TLS handshake`, { retry: true }));
      };
      const onSecure = (): void => {
        if (peer === undefined) {
          fail(new DialError('bad_identity', `the identity of ${where} was not checked`, { retry: true }));
          return;
        }
        const { roots } = trust();
        if (trust() !== before && !isTrusted(peer, roots, clock.now())) {
          fail(new DialError('untrusted', `the root of ${where} is no longer trusted`, { retry: true }));
          return;
        }
        settle();
        resolve({ tls, raw, peer, tunnel: tls.alpnProtocol === TUNNEL_PROTOCOL });
      };
      const settle = (): void => {
        timer.cancel();
        tls.removeListener('error', onError);
        tls.removeListener('close', onClose);
        tls.removeListener('secureConnect', onSecure);
        tls.on('error', ignoreError);
      };
      tls.once('error', onError);
      tls.once('close', onClose);
      tls.once('secureConnect', onSecure);
    });
  }
}

/** Who is dialled. */
export type Dialee = Pick<SidecarEndpoint, 'service' | 'datacenter'>;

/** What a TLS client needs: the own certificate, the roots, and the check that it is who was dialled that answers. */
export function dialOptions(
  { dialling, trustDomain }: Pick<Trust, 'dialling' | 'trustDomain'>,
  dialee: Dialee,
  read: (certificate: ShownCertificate) => Peer,
): Pick<ConnectionOptions, 'secureContext' | 'rejectUnauthorized' | 'checkServerIdentity' | 'servername'> {
  // The name that gateways and other proxies of the mesh route by.
  const name = foldName(`${dialee.service}.default.${dialee.datacenter}.internal.${trustDomain}`);
  return {
    secureContext: dialling,
    rejectUnauthorized: true,
    checkServerIdentity(_host, certificate) {
      try {
        checkService(read(certificate as DetailedPeerCertificate), dialee); // Node passes the detailed one
        return undefined;
      } catch (error) {
        return IsthmusError.from(error);
      }
    },
    ...(HOST_NAME.test(name) && name.length <= 253 ? { servername: name } : {}),
  };
}

function checkService(peer: Peer, endpoint: Dialee): void {
  const { service, datacenter } = peer.identity;
  if (service === foldName(endpoint.service) && datacenter === endpoint.datacenter) return;
  throw new PeerRefused(
    'wrong_peer',
    `${endpoint.service} in ${endpoint.datacenter} was dialled, ${service} in ${datacenter} answered`,
    peer.uri,
  );
}

function dialError(error: Error, where: string): DialError {
  if (error instanceof PeerRefused) {
    const details = error.uri === undefined ? {} : { peer: error.uri };
    return new DialError(error.reason, `${where}: ${error.message}`, { retry: true, details, cause: error });
  }
  const code = codeOf(error);
  const reason = isVerification(code) ? verificationReason(code) : 'handshake_failed';
  return new DialError(reason, `TLS handshake with ${where}: ${code}`, { retry: true, cause: error });
}

/** Node hands on OpenSSL's names of verification results (`X509_V_ERR_` cut off) as codes. */
function isVerification(code: string): boolean {
  return /^(?:CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_|PATH_LENGTH|CRL_|ERROR_IN_CERT)/.test(code);
}
