import { IsthmusError } from '../../lib/errors.ts';
import type { Callers, Role } from '../contract/methods/roles.ts';
import type { PeerIdentity } from './security.ts';

export interface AdmissionOptions {
  /** The one whose port it is. */
  readonly datacenter: string;
  /** Access control is on: what depends on a token is decided by it, behind the transport. */
  readonly tokensDecide: boolean;
}

const WHO: Readonly<Record<Role, string>> = {
  server: 'a server of this datacenter',
  otherServer: 'a server of another datacenter',
  client: 'a client agent',
};

/** What a certificate makes of who calls; undefined for whoever has no business with this datacenter. */
export function roleOf({ serverOf, clientOf }: PeerIdentity, datacenter: string): Role | undefined {
  if (serverOf.includes(datacenter)) return 'server';
  if (serverOf.length > 0) return 'otherServer';
  return clientOf.includes(datacenter) ? 'client' : undefined;
}

/** Refuses who may not call a method, by the certificate of the connection. Tokens are checked behind it. */
export class Admission {
  readonly #options: AdmissionOptions;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /**
   * Throws `permission_denied`.
   * @param caller looked up only when it matters; undefined where nothing is proven
   * @param of the datacenter that the call is about, where a server of another one speaks for its own alone
   */
  check(method: string, callers: Callers, caller: () => PeerIdentity | undefined, of?: unknown): void {
    // Who is none of these was not let in.
    if (callers.client === 'always' && callers.otherServer === 'always' && callers.server === 'always') return;
    const peer = caller();
    if (peer === undefined) return;
    const { datacenter, tokensDecide } = this.#options;
    const role = roleOf(peer, datacenter);
    const admitted = role === undefined ? 'never' : callers[role];
    if (role === undefined || admitted === 'never') throw denied(`${method} is for ${allowed(callers)}`, peer, role);
    if (admitted === 'byToken' && !tokensDecide)
      throw denied(
        `while access control is off, ${method} is for the servers of ${datacenter}: ask at one of them, or turn it on`,
        peer,
        role,
      );
    if (role === 'otherServer' && of !== undefined && !peer.serverOf.some((one) => one === of))
      throw denied(`${method} for another datacenter than that of the caller's certificate`, peer, role);
  }
}

function allowed(callers: Callers): string {
  const roles = (Object.keys(WHO) as Role[]).filter((role) => callers[role] !== 'never');
  return roles.map((role) => WHO[role]).join(' or ');
}

function denied(text: string, { name }: PeerIdentity, role: Role | undefined): IsthmusError {
  const who = role === undefined ? 'no agent of this datacenter' : WHO[role];
  return new IsthmusError('permission_denied', `${text} (the caller's certificate, ${name}, is that of ${who})`);
}
