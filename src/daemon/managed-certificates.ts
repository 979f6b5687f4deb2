import { readFileSync } from 'node:fs';
import type { RuntimeConfig } from '../config/types.ts';
import type { TransportAuthority } from '../domain/transport/authority.ts';
import { type Invitation, parseInvitation } from '../domain/transport/invitation-text.ts';
import { Backoff } from '../lib/backoff.ts';
import type { Clock } from '../lib/clock.ts';
import { hasCode, IsthmusError } from '../lib/errors.ts';
import type { Service } from '../lib/service.ts';
import { sleep } from '../lib/signals.ts';
import { createTaskGroup } from '../lib/task.ts';
import { generateLeafKey, privateKeyToPem, spkiOf } from '../pki/keys.ts';
import { createTlsMaterial, type OwnCertificate, type TlsMaterial } from '../pki/tls-material.ts';
import { enrolWithCertificate, enrolWithFingerprint } from '../rpc/transport/enrol-client.ts';
import type { EnrolReply } from '../rpc/transport/enrol-wire.ts';
import type { Logger } from '../telemetry/types.ts';

export interface ManagedCertificatesDeps {
  readonly config: RuntimeConfig;
  readonly authority: TransportAuthority;
  /** Where servers of the primary are reached now, host:port. */
  readonly primaryServers: () => readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** A joiner tries so long to reach who invited it, milliseconds. */
const JOIN_MS = 120_000;
/** Longest time between two looks whether something is to be renewed, milliseconds. */
const LOOK_MS = 3_600_000;
const MIN_PAUSE_MS = 500;

/**
 * The certificate of this server where none comes from files: made by this datacenter's authority, renewed at half of
 * its life. A new datacenter gets its authority with an invitation, and renews that over the link to the primary.
 */
export class ManagedCertificates implements Service {
  readonly name = 'certificates of the server ports';
  readonly #deps: ManagedCertificatesDeps;
  readonly #tasks;
  #material: TlsMaterial | undefined;
  /** Of this server's certificate: it is valid from before it was made. */
  #life = { notBefore: 0, notAfter: 0 };
  #unhook: () => void = () => undefined;

  constructor(deps: ManagedCertificatesDeps) {
    this.#deps = deps;
    this.#tasks = createTaskGroup({
      clock: deps.clock,
      onError: (task, error, retryInMs) =>
        deps.log.warn('certificate not renewed', { task, error: error.message, ...this.#left(), retryInMs }),
    });
  }

  /** Undefined when this datacenter has no authority. */
  get material(): TlsMaterial | undefined {
    return this.#material;
  }

  /** Addresses of the primary by which this datacenter joined. */
  addresses(): readonly string[] {
    return this.#deps.authority.row?.addresses ?? [];
  }

  async start(signal: AbortSignal): Promise<void> {
    const { config, authority, log } = this.#deps;
    const primary = config.datacenter === config.primaryDatacenter;
    const { managed } = config.tls.rpc;
    if (primary && managed) await authority.ensureRoot();
    if (authority.row === undefined) {
      if (config.joinInvite !== '') await this.#join(signal);
      else if (managed)
        throw new IsthmusError(
          'rejected',
          `datacenter "${config.datacenter}" has no certificates yet: start it once with -join-invite FILE; "isthmus federation invite" in "${config.primaryDatacenter}" makes the file`,
        );
      else return;
    } else if (config.joinInvite !== '') log.info('this datacenter has joined before: the invitation is not needed');
    this.#issue();
    this.#unhook = authority.onChange(() => this.#tasks.run('own certificate', async () => this.#issue()));
    this.#tasks.loop(
      'own certificate',
      { pauseMs: () => Math.max(MIN_PAUSE_MS, this.#dueIn(this.#life)) },
      async () => {
        if (this.#dueIn(this.#life) <= 0) this.#issue();
      },
    );
    if (!primary)
      this.#tasks.loop(
        "the datacenter's authority",
        {
          pauseMs: () => Math.max(MIN_PAUSE_MS, this.#dueIn(authority.row)),
          backoff: { baseMs: 1_000, maxMs: 60_000 },
        },
        async () => {
          if (this.#dueIn(authority.row) <= 0) await this.renewAuthority();
        },
      );
  }

  async stop(): Promise<void> {
    this.#unhook();
    await this.#tasks.stop();
  }

  /** Gets this datacenter's next authority from the primary. */
  async renewAuthority(): Promise<void> {
    const { authority, config, primaryServers, log } = this.#deps;
    const { csr, adopt } = await authority.renewalCsr();
    const material = this.#material;
    if (material === undefined) throw new IsthmusError('unavailable', 'this server has no certificate');
    const addresses = [...new Set([...primaryServers(), ...this.addresses(), ...config.retryJoinWan])];
    await adopt(
      await this.#first(addresses, (address) =>
        enrolWithCertificate(this.#target(address), material, { op: 'renew', csr }, this.#deps.clock),
      ),
    );
    log.info('the authority of this datacenter was renewed', { until: isoTime(authority.row?.notAfter ?? 0) });
  }

  async #join(signal: AbortSignal): Promise<void> {
    const { config, authority, clock, log } = this.#deps;
    const invitation = readInvitation(config);
    const { addresses, fingerprint, secret } = invitation;
    const csr = await authority.joinCsr();
    const request = { op: 'join', secret, datacenter: config.datacenter, node: config.nodeName, csr } as const;
    const backoff = new Backoff({ baseMs: 200, maxMs: 5_000 });
    const end = clock.now() + JOIN_MS;
    for (;;) {
      try {
        const reply = await this.#first(addresses, (address) =>
          enrolWithFingerprint(this.#target(address), fingerprint, request, clock),
        );
        await authority.adoptJoin(reply, { addresses, token: reply.token });
        log.info('joined', { primary: invitation.datacenter, until: isoTime(authority.row?.notAfter ?? 0) });
        return;
      } catch (error) {
        if (!hasCode(error, 'unavailable', 'deadline') || clock.now() >= end) throw error;
        log.warn('could not join yet', { error: error.message });
      }
      await sleep(clock, backoff.next(), signal);
    }
  }

  /** The first answer; an error that another address would not heal is thrown at once. */
  async #first(addresses: readonly string[], ask: (address: string) => Promise<EnrolReply>): Promise<EnrolReply> {
    let last: unknown = new IsthmusError('unavailable', 'no address of the primary is known');
    for (const address of addresses) {
      try {
        return await ask(address);
      } catch (error) {
        if (hasCode(error, 'permission_denied', 'invalid_argument')) throw error;
        last = error;
      }
    }
    throw last;
  }

  #target(address: string): { address: string; datacenter: string; domain: string } {
    const { config } = this.#deps;
    return { address, datacenter: config.primaryDatacenter, domain: config.dns.domain };
  }

  #issue(): void {
    const { authority, config, log } = this.#deps;
    const key = generateLeafKey();
    const { chain, root } = authority.issueServer(spkiOf(key), config.nodeName);
    const { minVersion, ciphers } = config.tls.rpc;
    this.#material = createTlsMaterial(
      {
        ca: [{ text: root, from: 'the root' }],
        cert: { text: chain, from: 'the certificate' },
        key: { text: privateKeyToPem(key), from: 'its key' },
      },
      { minVersion, ciphers },
    );
    const { notAfter } = this.#material.own as OwnCertificate;
    this.#life = { notBefore: this.#deps.clock.now(), notAfter };
    log.debug('own certificate made', { until: isoTime(notAfter) });
  }

  /** Milliseconds until half of its life is over. */
  #dueIn(life: { readonly notBefore: number; readonly notAfter: number } | undefined): number {
    if (life === undefined) return LOOK_MS;
    const due = (life.notBefore + life.notAfter) / 2 - this.#deps.clock.now();
    return Math.min(LOOK_MS, Math.max(0, Math.ceil(due)));
  }

  #left(): { readonly secondsLeft?: number } {
    const own = this.#material?.own;
    return own === undefined ? {} : { secondsLeft: Math.round((own.notAfter - this.#deps.clock.now()) / 1_000) };
  }
}

/** The invitation that the configuration names; throws when it is not for this agent. */
export function readInvitation({ joinInvite, primaryDatacenter, datacenter, dns, server }: RuntimeConfig): Invitation {
  let text: string;
  try {
    text = readFileSync(joinInvite, 'utf8');
  } catch (cause) {
    throw new IsthmusError('invalid_argument', `join_invite ${JSON.stringify(joinInvite)} can't be read`, { cause });
  }
  const invitation = parseInvitation(text);
  const wrong = (what: string): IsthmusError => new IsthmusError('invalid_argument', `join_invite: ${what}`);
  if (invitation.domain !== dns.domain) throw wrong(`it is for domain "${invitation.domain}": set domain to it`);
  if (!server) return invitation;
  if (invitation.kind !== 'datacenter') throw wrong('it is for a client agent, and this is a server');
  if (invitation.datacenter === datacenter)
    throw wrong(`"${datacenter}" is the datacenter that invites: give this one another name`);
  if (invitation.datacenter !== primaryDatacenter)
    throw wrong(`it is of primary "${invitation.datacenter}": set primary_datacenter to it`);
  return invitation;
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
