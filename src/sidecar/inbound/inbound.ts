import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { bucketOf } from '../../lib/address.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { PerKeyLimit, type Slot } from '../../lib/per-key-limit.ts';
import type { RequestProtocol } from '../../model/layer7/route-table.ts';
import type { RefusalReason } from '../refusals.ts';
import { listen, stopListening } from '../wire/listening.ts';
import { isTrusted, type Peer, PeerRefused } from '../wire/peer.ts';
import { codeOf, hostPort, ignoreError, resetSocket, resetTls, tlsEnd } from '../wire/sockets.ts';
import type { Trust } from '../wire/trust.ts';
import { TUNNEL_PROTOCOL } from '../wire/tunnel.ts';
import { InboundConnection } from './connection.ts';
import type { InboundDeps } from './deps.ts';
import { InboundRequests } from './requests.ts';
import { TokenVerifier } from './token-verifier.ts';
import { TunnelServer } from './tunnel-server.ts';

interface Accepted {
  readonly raw: Socket;
  readonly slot: Slot;
  readonly startedAt: number;
  /** In effect when the handshake began. */
  readonly trust: Trust;
}

/** The listener where the mesh reaches the application: mutual TLS, then a tunnel or one connection. */
export class Inbound {
  readonly #deps: InboundDeps;
  readonly #server: Server;
  readonly #address: string;
  readonly #wantedPort: number;
  #port = 0;
  /** Handshakes under way, by the address of the client. */
  readonly #pending = new Map<string, Accepted>();
  /** The same, by the address alone. */
  readonly #handshakes: PerKeyLimit;
  readonly #tunnelServers = new Set<TunnelServer>();
  /** By identity. */
  readonly #tunnels: PerKeyLimit;
  /** Of identities that may not connect. */
  readonly #deniedTunnels: PerKeyLimit;
  readonly #sockets = new Set<Socket>();
  readonly #requests: InboundRequests;

  constructor(deps: InboundDeps, at: { readonly address: string; readonly port: number }) {
    this.#deps = deps;
    this.#address = at.address;
    this.#wantedPort = at.port;
    const { authorizer, clock, limits, log, requests } = deps;
    const tokens = new TokenVerifier({ clock, log, providers: () => authorizer.providers });
    this.#requests = new InboundRequests({ ...deps, tokens });
    this.#handshakes = new PerKeyLimit({
      perKey: limits.maxPendingHandshakesPerAddress,
      total: limits.maxPendingHandshakes,
    });
    this.#tunnels = new PerKeyLimit({ perKey: limits.maxTunnelsPerIdentity, total: limits.maxInboundTunnels });
    this.#deniedTunnels = new PerKeyLimit({
      perKey: limits.maxDeniedTunnelsPerIdentity,
      total: limits.maxDeniedTunnels,
    });
    this.#server = createServer({
      ...deps.trust().options,
      requestCert: true,
      rejectUnauthorized: false, // `#secured` decides, so that the refusal can be explained
      handshakeTimeout: limits.handshakeTimeoutMs,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      ALPNCallback: ({ protocols }) => chooseProtocol(protocols, requests()?.protocol),
    });
    this.#server.prependListener('connection', (raw) => this.#accept(raw));
    this.#server.on('secureConnection', (tls) => this.#secured(tls));
    this.#server.on('tlsClientError', (error, tls) => this.#failed(error, tls));
  }

  get address(): string {
    return hostPort(this.#address === '' ? '127.0.0.1' : this.#address, this.#port);
  }

  async start(): Promise<void> {
    this.#port = await listen(this.#server, this.#address, this.#wantedPort);
    this.#server.on('error', (error) => this.#deps.log.error('listener failed', { error: error.message }));
  }

  /** New handshakes use the current trust from here on. */
  renew(leafChanged: boolean): void {
    this.#server.setSecureContext(this.#deps.trust().options);
    // Those who hold tunnels make new ones, with the new leaf at this end; the streams that are open go on.
    if (leafChanged) for (const tunnel of this.#tunnelServers) tunnel.retire();
  }

  /** No new streams from the peers that `which` picks. */
  retireTunnels(which: (peer: Peer) => boolean): void {
    for (const tunnel of this.#tunnelServers) if (which(tunnel.peer)) tunnel.retire();
  }

  /** Takes no new connections; those that are open go on. Resolves once they are gone. */
  async stopAccepting(): Promise<void> {
    for (const { raw } of this.#pending.values()) raw.destroy();
    for (const tunnel of this.#tunnelServers) tunnel.retire();
    this.#requests.drain();
    await stopListening(this.#server);
  }

  /** Cuts every connection at the socket, whatever state it is in: the server can then close. */
  abort(): void {
    for (const raw of this.#sockets) raw.destroy();
  }

  #accept(raw: Socket): void {
    const { clock, trust } = this.#deps;
    raw.on('error', ignoreError);
    this.#sockets.add(raw);
    raw.once('close', () => this.#sockets.delete(raw));
    // until the handshake is over: a TCP check that ends is gone, and need not wait for the time-out
    raw.allowHalfOpen = false;
    const from = raw.remoteAddress;
    const slot = this.#handshakes.admit(bucketOf(from), () => {
      this.#refuse('limit', from ?? '', { limit: 'handshakes', from });
      raw.destroy();
    });
    if (slot === undefined) {
      raw.destroy(); // not while every handshake can be given up
      return;
    }
    const key = addressOf(raw);
    const accepted: Accepted = { raw, slot, startedAt: clock.steady(), trust: trust() };
    this.#pending.set(key, accepted);
    raw.once('close', () => {
      slot.release();
      if (this.#pending.get(key) === accepted) this.#pending.delete(key);
    });
  }

  #secured(tls: TLSSocket): void {
    const { clock, meters, peers, trust } = this.#deps;
    tls.on('error', ignoreError);
    tls.allowHalfOpen = true;
    const key = addressOf(tls);
    const accepted = this.#pending.get(key);
    if (accepted === undefined) {
      tls.destroy(); // closed in the same moment
      return;
    }
    this.#pending.delete(key);
    accepted.slot.release();
    let peer: Peer;
    try {
      const present = trust(); // the handshake may have used a later one than that of its beginning
      peer = peers.ofAccepted(tls, present, clock.now());
      if (present !== accepted.trust && !isTrusted(peer, present.roots, clock.now()))
        throw new PeerRefused('untrusted', 'its root is no longer trusted', peer.uri);
    } catch (error) {
      const refused = error instanceof PeerRefused ? error : undefined;
      this.#refuse(refused?.reason ?? 'untrusted', refused?.uri ?? tls.remoteAddress ?? '', {
        source: refused?.uri,
        from: tls.remoteAddress,
        error: IsthmusError.from(error).message,
      });
      resetSocket(accepted.raw);
      return;
    }
    meters.handshake.observe((clock.steady() - accepted.startedAt) / 1_000, { direction: 'inbound' });
    if (tls.alpnProtocol === TUNNEL_PROTOCOL) this.#tunnel(tls, accepted.raw, peer);
    else this.#plain(tls, accepted.raw, peer);
  }

  #tunnel(tls: TLSSocket, raw: Socket, peer: Peer): void {
    const { authorizer, meters, tunnels } = this.#deps;
    const { service, datacenter } = peer.identity;
    const limit = authorizer.decide(service, datacenter).allowed ? this.#tunnels : this.#deniedTunnels;
    const refuse = (): void => {
      this.#refuse('limit', peer.uri, { limit: 'tunnels', source: peer.uri });
      resetTls(tls, raw);
    };
    const slot = limit.admit(peer.uri, refuse);
    if (slot === undefined) {
      refuse();
      return;
    }
    const tunnel = new TunnelServer(tls, raw, peer, {
      ...this.#deps,
      taking: this.#requests,
      onUsed: slot.keep.bind(slot),
      onClosed: () => {
        slot.release();
        this.#tunnelServers.delete(tunnel);
        tunnels.remove(tunnel);
      },
    });
    this.#tunnelServers.add(tunnel);
    tunnels.add(tunnel);
    meters.tunnelsOpened.add(1, { direction: 'inbound' });
  }

  #plain(tls: TLSSocket, raw: Socket, peer: Peer): void {
    const connection = new InboundConnection(peer, this.#deps, this.#requests);
    const far = tlsEnd(tls, raw);
    const refused = connection.admit(this.#deps.requests() !== undefined);
    if (refused !== undefined) {
      far.reset();
      return;
    }
    connection.carry(far, () => undefined, far.reset);
  }

  #failed(error: Error, tls: TLSSocket): void {
    const code = codeOf(error);
    const from = tls.remoteAddress;
    this.#refuse(handshakeReason(code), `${from ?? ''} ${code}`, { from, error: code });
    tls.destroy();
  }

  #refuse(reason: RefusalReason, subject: string, fields: Readonly<Record<string, unknown>>): void {
    this.#deps.refusals.refuse('inbound', reason, subject, fields);
  }
}

/**
 * A tunnel when it is offered. A peer that names other protocols insists on one of them: the application's, which
 * this sidecar does not know, unless the service has requests; HTTP/1.1 is what a client falls back to when none is
 * agreed.
 */
function chooseProtocol(offered: readonly string[], spoken: RequestProtocol | undefined): string | undefined {
  if (offered.includes(TUNNEL_PROTOCOL)) return TUNNEL_PROTOCOL;
  if (spoken !== undefined && spoken !== 'http' && offered.includes('h2')) return 'h2';
  return offered.includes('http/1.1') ? 'http/1.1' : offered[0];
}

function addressOf(socket: Socket): string {
  return `${socket.remotePort ?? 0} ${socket.remoteAddress ?? ''}`;
}

function handshakeReason(code: string): RefusalReason {
  switch (code) {
    case 'ERR_TLS_HANDSHAKE_TIMEOUT':
      return 'handshake_timeout';
    case 'ECONNRESET':
    case 'EPIPE':
    case 'ERR_STREAM_PREMATURE_CLOSE':
      return 'hung_up';
    case 'ERR_SSL_HTTP_REQUEST':
    case 'ERR_SSL_HTTPS_PROXY_REQUEST':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
    case 'ERR_SSL_BAD_RECORD_TYPE':
    case 'ERR_SSL_UNEXPECTED_MESSAGE':
      return 'plain_text';
    default:
      return 'handshake_failed';
  }
}
