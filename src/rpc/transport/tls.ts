import { connect as connectPlain, type Socket } from 'node:net';
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls';
import { isLoopback } from '../../lib/address.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { peekFirstBytes } from '../../lib/first-bytes.ts';
import { tryDatacenter } from '../../model/names.ts';
import { type AgentRole, agentName } from '../../pki/agent-certs.ts';
import type { TlsMaterial } from '../../pki/tls-material.ts';
import { roleOf } from './admission.ts';
import { DEFAULT_LIMITS } from './handlers.ts';
import type { DialTarget, PeerIdentity, SecuredConnection, TransportSecurity } from './security.ts';
import { Handshakes } from './tls-handshakes.ts';
import { describeHandshake, describeVerification, nameOf } from './verify-error.ts';

/** What is asked of the other side. */
export interface TlsPolicy {
  /** Refuse plain text, and who presents no certificate of the authorities. */
  readonly verifyIncoming: boolean;
  /** Dial with TLS. */
  readonly verifyOutgoing: boolean;
  /** Without `verifyOutgoing`: dial with TLS where the other side speaks it, and in plain text where it does not. */
  readonly preferTls?: boolean;
  /**
   * Servers must have a certificate for `server.<datacenter>.<domain>`. Without it one that names no agent at all
   * proves nothing about who calls; one that does is held to it either way.
   */
  readonly verifyServerHostname: boolean;
}

export interface TlsSecurityDeps {
  /** The certificates now; they may be replaced at any time, open connections stay. Undefined: there are none (yet). */
  readonly material: () => TlsMaterial | undefined;
  /** @param elsewhere whether the other side is another machine */
  readonly policy: (elsewhere: boolean) => TlsPolicy;
  /** Of the names of agents: "consul". */
  readonly domain: string;
  /** The own one: a client agent of another is let in nowhere. */
  readonly datacenter: string;
  /** Another protocol on these ports, chosen by ALPN. */
  readonly other?: OtherProtocol;
  readonly clock: Clock;
  /** Time for a handshake, milliseconds. */
  readonly handshakeMs?: number;
}

export interface OtherProtocol {
  readonly alpn: string;
  /** Takes the connection. `certificate` was verified; undefined when there is none. `peer` is what it proves. */
  take(socket: TLSSocket, certificate: PeerCertificate | undefined, peer: PeerIdentity | undefined): void;
}

const TLS_HANDSHAKE = 0x16;
const HTTP2 = 'h2';
/** What a refused peer reads instead of HTTP/2, on the encrypted connection, for its operator's log. */
const REFUSED = Buffer.from('isthmus refuses: ');
const MAX_REASON = 512;
const PLAIN_TEXT =
  'it spoke plain text, and this port asks for TLS: invite it (isthmus federation invite), give it certificates and ' +
  'verify_outgoing, or set allow_plaintext = true here if the network is trusted';
const NO_CERTIFICATE =
  'this agent has no certificate to dial with: start it with -join-invite FILE ("isthmus federation invite" makes ' +
  'one), with ca_file, cert_file and key_file, or with allow_plaintext = true if the network is trusted';

/** Mutual TLS for the server ports. */
export function createTlsSecurity(deps: TlsSecurityDeps): TransportSecurity {
  return new TlsSecurity(deps);
}

class TlsSecurity implements TransportSecurity {
  readonly #deps: TlsSecurityDeps;
  readonly #handshakeMs: number;
  readonly #handshakes: Handshakes;

  constructor(deps: TlsSecurityDeps) {
    const { other, clock, handshakeMs = DEFAULT_LIMITS.handshakeMs } = deps;
    this.#deps = deps;
    this.#handshakeMs = handshakeMs;
    this.#handshakes = new Handshakes(other === undefined ? [HTTP2] : [HTTP2, other.alpn], clock, handshakeMs);
  }

  async accept(raw: Socket): Promise<SecuredConnection | undefined> {
    const { clock, other } = this.#deps;
    const material = this.#deps.material();
    const elsewhere = isElsewhere(raw);
    const { verifyIncoming } = this.#deps.policy(elsewhere);
    if (material?.own === undefined && !verifyIncoming) return { socket: raw };
    const first = await peekFirstBytes(raw, clock, this.#handshakeMs);
    if (first === undefined) {
      if (!raw.destroyed && !raw.readableEnded) throw unauthenticated('it said nothing', 'silent');
      raw.destroy(); // someone who only looked whether the port is open
      return undefined;
    }
    if (first[0] !== TLS_HANDSHAKE) {
      if (!verifyIncoming) return { socket: raw };
      throw unauthenticated(PLAIN_TEXT, 'plain_text');
    }
    if (material?.own === undefined) throw unauthenticated('this server has no certificate yet');
    const tls = await this.#handshakes.accept(raw, material);
    if (tls === undefined) return undefined;
    const certificate = certificateOf(tls);
    const verified = tls.authorized ? certificate : undefined;
    if (other !== undefined && tls.alpnProtocol === other.alpn) {
      other.take(tls, verified, this.#identify(verified, elsewhere));
      return undefined;
    }
    if (verifyIncoming && verified === undefined) {
      const reason =
        certificate === undefined
          ? 'it presented no certificate, and this port asks for one: invite it (isthmus federation invite), or ' +
            'give it cert_file and key_file'
          : describeVerification(String(tls.authorizationError), certificate);
      await this.#refuse(tls, reason);
    }
    const peer = this.#identify(verified, elsewhere);
    if (peer !== undefined && roleOf(peer, this.#deps.datacenter) === undefined)
      await this.#refuse(
        tls,
        `its certificate (${peer.name}) is neither that of a server nor that of a client agent of ` +
          `${this.#deps.datacenter}`,
      );
    return { socket: tls, http2: tls.alpnProtocol === HTTP2, ...(peer === undefined ? {} : { peer }) };
  }

  async connect(raw: Socket, target: DialTarget): Promise<SecuredConnection> {
    const { verifyOutgoing, preferTls = false, verifyServerHostname } = this.#deps.policy(isElsewhere(raw));
    const material = this.#deps.material();
    if (!verifyOutgoing && (!preferTls || material?.own === undefined)) return { socket: raw };
    if (material === undefined) throw new IsthmusError('unavailable', NO_CERTIFICATE);
    const { remoteAddress: host, remotePort: port } = raw; // gone once it is closed
    let tls: TLSSocket;
    try {
      tls = await this.#dial(raw, material);
    } catch (error) {
      if (verifyOutgoing || host === undefined || port === undefined) throw error;
      return { socket: await this.#dialPlain({ host, port }) };
    }
    const certificate = certificateOf(tls);
    const refuse = (reason: string): never => {
      tls.destroy();
      throw unauthenticated(reason);
    };
    if (!tls.authorized) refuse(describeVerification(codeOf(tls), certificate));
    const peer = verifyServerHostname ? this.#checkServer(certificate, target, refuse) : undefined;
    // A server that takes this side's certificate speaks first; one that does not says why.
    const first = await peekFirstBytes(tls, this.#deps.clock, this.#handshakeMs);
    if (first === undefined) refuse('it closed the connection after the handshake: its log says why');
    if (first?.subarray(0, REFUSED.length).equals(REFUSED))
      refuse(`it refuses this server: ${first.toString('utf8', REFUSED.length).replace(/[^\x20-\x7e]/g, '?')}`);
    return { socket: tls, http2: true, ...(peer === undefined ? {} : { peer }) };
  }

  /** A connection without a certificate is let in from this machine, or from everywhere. */
  identify(certificate: PeerCertificate | undefined): PeerIdentity | undefined {
    return this.#identify(certificate, false);
  }

  #identify(certificate: PeerCertificate | undefined, elsewhere: boolean): PeerIdentity | undefined {
    const { verifyIncoming, verifyServerHostname } = this.#deps.policy(elsewhere);
    if (certificate === undefined) return verifyIncoming ? { ...NOBODY, name: nameOf(certificate) } : undefined;
    if (namesAgent(certificate, this.#deps.domain)) return this.#identityOf(certificate);
    // Of an authority that writes no such names: good for a client, and for a server only where that is not checked.
    return verifyServerHostname
      ? { ...NOBODY, clientOf: [this.#deps.datacenter], name: nameOf(certificate) }
      : undefined;
  }

  /** Says on the encrypted connection why, then throws it. */
  async #refuse(tls: TLSSocket, reason: string): Promise<never> {
    tls.end(Buffer.concat([REFUSED, Buffer.from(reason.slice(0, MAX_REASON))]));
    await closed(tls, this.#deps.clock, REFUSAL_MS);
    throw unauthenticated(reason);
  }

  #checkServer(
    certificate: PeerCertificate | undefined,
    { datacenter }: DialTarget,
    refuse: (reason: string) => never,
  ): PeerIdentity {
    const peer = this.#identityOf(certificate);
    const wanted = `server.${datacenter ?? '<datacenter>'}.${this.#deps.domain}`;
    if (datacenter === undefined ? peer.serverOf.length > 0 : peer.serverOf.includes(datacenter)) return peer;
    const names = certificate?.subjectaltname ?? peer.name;
    return refuse(`its certificate (${names}) is not that of a server: it must hold the name ${wanted}`);
  }

  #identityOf(certificate: PeerCertificate | undefined): PeerIdentity {
    const { domain } = this.#deps;
    const clientOf = agentDatacenters('client', certificate, domain);
    const [node] = clientOf.flatMap((datacenter) => clientNode(certificate, datacenter, domain) ?? []);
    return {
      serverOf: agentDatacenters('server', certificate, domain),
      clientOf,
      ...(node === undefined ? {} : { node }),
      name: nameOf(certificate),
    };
  }

  /** Resolves once the handshake is done, whoever answers; throws `unavailable` with what broke it. */
  #dial(raw: Socket, material: TlsMaterial): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const tls = connectTls({
        socket: raw,
        secureContext: material.context,
        rejectUnauthorized: false, // decided by the caller, with a reason that can be read
        checkServerIdentity: () => undefined,
        ALPNProtocols: [HTTP2],
      });
      const settle = (): void => {
        timer.cancel();
        tls.removeListener('secureConnect', onDone);
        tls.removeListener('error', onError);
        tls.on('error', () => undefined); // 'close' follows; whoever uses the connection sees that
      };
      const onDone = (): void => {
        settle();
        resolve(tls);
      };
      const onError = (cause: Error): void => {
        settle();
        tls.destroy();
        reject(new IsthmusError('unavailable', describeHandshake(cause), { cause }));
      };
      const timer: Timer = this.#deps.clock.after(this.#handshakeMs, () =>
        onError(new Error(`not finished within ${this.#handshakeMs} ms`)),
      );
      tls.once('secureConnect', onDone);
      tls.once('error', onError);
    });
  }

  #dialPlain(target: { readonly host: string; readonly port: number }): Promise<Socket> {
    const socket = connectPlain({ ...target, noDelay: true });
    return new Promise((resolve, reject) => {
      const timer = this.#deps.clock.after(this.#handshakeMs, () => socket.destroy(new Error('not reached in time')));
      socket.once('close', () => timer.cancel());
      socket.once('error', (cause) => reject(new IsthmusError('unavailable', cause.message, { cause })));
      socket.once('connect', () => {
        timer.cancel();
        resolve(socket);
      });
    });
  }
}

/** Time for a refused peer to read why, milliseconds. */
const REFUSAL_MS = 1_000;

function closed(socket: Socket, clock: Clock, limitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(limitMs, () => resolve());
    socket.resume();
    socket.once('close', () => {
      timer.cancel();
      resolve();
    });
  });
}

/**
 * True for another machine. What comes from an address of loopback, or from the very address that it is sent to, was
 * sent on this one: the kernel drops packets from outside that claim such a source.
 */
function isElsewhere({ remoteAddress, localAddress }: Socket): boolean {
  return remoteAddress === undefined || !(isLoopback(remoteAddress) || remoteAddress === localAddress);
}

function certificateOf(tls: TLSSocket): PeerCertificate | undefined {
  const certificate = tls.getPeerCertificate();
  return certificate === null || certificate.raw === undefined ? undefined : certificate;
}

/** Node's types call it an Error; on either side it may be the verifier's code. */
function codeOf(tls: TLSSocket): string {
  const error: unknown = tls.authorizationError;
  return error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error);
}

/** The datacenters of `server.<datacenter>.<domain>` among a certificate's names. */
export function serverDatacenters(certificate: PeerCertificate | undefined, domain: string): readonly string[] {
  return agentDatacenters('server', certificate, domain);
}

/** True when one of its names is that of an agent, or of a user of agents, of any datacenter. */
function namesAgent(certificate: PeerCertificate, domain: string): boolean {
  return ROLES.some((role) => agentDatacenters(role, certificate, domain).length > 0);
}

const ROLES: readonly AgentRole[] = ['server', 'client', 'cli'];
const NOBODY: Omit<PeerIdentity, 'name'> = { serverOf: [], clientOf: [] };

/** The datacenters of `<role>.<datacenter>.<domain>` among a certificate's names. */
function agentDatacenters(
  role: AgentRole,
  certificate: PeerCertificate | undefined,
  domain: string,
): readonly string[] {
  const prefix = `${role}.`;
  const suffix = `.${domain.toLowerCase()}`;
  return altNames(certificate?.subjectaltname ?? '').flatMap((entry) => {
    const name = /^DNS:([A-Za-z0-9._-]+)$/.exec(entry)?.[1]?.toLowerCase();
    if (name === undefined || !name.startsWith(prefix) || !name.endsWith(suffix)) return [];
    const datacenter = name.slice(prefix.length, -suffix.length);
    return tryDatacenter(datacenter) === datacenter ? [datacenter] : [];
  });
}

/**
 * The node of `<node>.client.<datacenter>.<domain>` among the names of a client agent's certificate; undefined when it
 * names none, or several.
 */
export function clientNode(
  certificate: PeerCertificate | undefined,
  datacenter: string,
  domain: string,
): string | undefined {
  const suffix = `.${agentName('client', datacenter, domain)}`.toLowerCase();
  const [node, ...more] = altNames(certificate?.subjectaltname ?? '').flatMap((entry) => {
    const name = /^DNS:([A-Za-z0-9._-]+)$/.exec(entry)?.[1]?.toLowerCase();
    return name?.endsWith(suffix) ? [name.slice(0, -suffix.length)] : [];
  });
  return more.length > 0 ? undefined : node;
}

/** True when a certificate is for this host name. */
export function hasName(certificate: PeerCertificate | undefined, name: string): boolean {
  return altNames(certificate?.subjectaltname ?? '').some(
    (entry) => entry.toLowerCase() === `dns:${name.toLowerCase()}`,
  );
}

/** Node separates names by commas and quotes those that hold one: a quoted name never counts as several. */
function altNames(text: string): string[] {
  return (text.match(/(?:[^",]|"(?:[^"\\]|\\.)*")+/g) ?? []).map((name) => name.trim());
}

/** @param reason for metrics and for how often it is logged */
function unauthenticated(text: string, reason = 'identity'): IsthmusError {
  return new IsthmusError('unauthenticated', text, { details: { reason } });
}
