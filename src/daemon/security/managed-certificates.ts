import { rootFingerprint, type TransportAuthority } from '../../domain/enrolment/authority.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import { generateLeafKey, privateKeyToPem, spkiOf } from '../../pki/keys.ts';
import { createTlsMaterial, type OwnCertificate, type TlsMaterial } from '../../pki/tls-material.ts';
import { enrolWithCertificate } from '../../rpc/transport/enrol-client.ts';
import type { Logger } from '../../telemetry/types.ts';
import {
  firstAnswer,
  isAhead,
  type Life,
  readInvitation,
  renewalDueIn,
  renewalPause,
  useInvitation,
} from './enrolment.ts';
import type { SecurityOptions } from './options.ts';

export interface ManagedCertificatesDeps {
  readonly options: SecurityOptions;
  readonly authority: TransportAuthority;
  /** Where servers of the primary are reached now, host:port. */
  readonly primaryServers: () => readonly string[];
  /** Called with every certificate that is made for this server. */
  readonly onIssued: (material: TlsMaterial) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

const EXPIRED =
  'the authority of this datacenter has expired, or was made while a clock was ahead: invite it again (isthmus ' +
  'federation invite -joining) and start it with -join-invite';

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

  async start(signal: AbortSignal): Promise<void> {
    const { options, authority, log } = this.#deps;
    const primary = options.datacenter === options.primaryDatacenter;
    const { managed } = options.rpc;
    if (primary && (managed || options.managedByDefault)) await authority.ensureRoot();
    const { row } = authority;
    if (row === undefined && options.joinInvite === '') {
      if (!managed) {
        this.#awaitAuthority(primary);
        return;
      }
      throw new IsthmusError(
        'rejected',
        `datacenter "${options.datacenter}" has no certificates yet: start it once with -join-invite FILE; "isthmus ` +
          `federation invite" in "${options.primaryDatacenter}" makes the file`,
      );
    }
    const expired = row !== undefined && this.#expired();
    if (options.joinInvite !== '' && (row === undefined || expired || this.#isInvitedAnew(row)))
      await this.#join(signal);
    else if (expired) log.error(EXPIRED, { datacenter: options.datacenter, since: isoTime(row.notAfter) });
    else if (options.joinInvite !== '') log.info('this datacenter has joined before: the invitation is not needed');
    this.#begin(primary);
  }

  /** Until another server of the store joins, or the first invitation makes the authority. */
  #awaitAuthority(primary: boolean): void {
    const begin = async (): Promise<void> => {
      unhook();
      this.#begin(primary);
    };
    const unhook = this.#deps.authority.onChange(() => this.#tasks.run('own certificate', begin));
    this.#unhook = unhook;
  }

  /** Makes this server's certificate, and renews what there is. */
  #begin(primary: boolean): void {
    const { authority, clock } = this.#deps;
    if (!this.#expired()) this.#issue();
    const renewOwn = async (): Promise<void> => {
      if (this.#due(this.#life) <= 0 && !this.#expired()) this.#issue();
    };
    this.#tasks.loop('own certificate', { pauseMs: () => renewalPause(this.#due(this.#life)) }, renewOwn);
    const unhook = authority.onChange(() => this.#tasks.run('own certificate', async () => this.#issue()));
    const renewAuthority = async (): Promise<void> => {
      if (this.#due(authority.row) <= 0 && !this.#expired()) await this.renewAuthority();
    };
    const endJumps = clock.onJump(() => {
      this.#tasks.run('own certificate', renewOwn);
      if (!primary) this.#tasks.run("the datacenter's authority", renewAuthority);
    });
    this.#unhook = () => {
      unhook();
      endJumps();
    };
    if (!primary)
      this.#tasks.loop(
        "the datacenter's authority",
        {
          pauseMs: () => renewalPause(this.#due(authority.row)),
          backoff: { baseMs: 1_000, maxMs: 60_000 },
        },
        renewAuthority,
      );
  }

  async stop(): Promise<void> {
    this.#unhook();
    await this.#tasks.stop();
  }

  /** Gets this datacenter's next authority from the primary. */
  async renewAuthority(): Promise<void> {
    const { authority, options, primaryServers, log } = this.#deps;
    const { csr, proof, adopt } = await authority.renewalCsr();
    const material = this.#material;
    if (material === undefined) throw new IsthmusError('unavailable', 'this server has no certificate');
    const addresses = [...new Set([...primaryServers(), ...(authority.row?.addresses ?? []), ...options.retryJoinWan])];
    await adopt(
      await firstAnswer(addresses, (address) =>
        enrolWithCertificate(
          { address, datacenter: options.primaryDatacenter, domain: options.domain },
          material,
          { op: 'renew', csr, proof },
          this.#deps.clock,
        ),
      ),
    );
    log.info('the authority of this datacenter was renewed', { until: isoTime(authority.row?.notAfter ?? 0) });
  }

  /**
   * True when the invitation is of another root than the one that this datacenter has: the primary has lost its store.
   */
  #isInvitedAnew({ root }: { readonly root: string }): boolean {
    try {
      return readInvitation(this.#deps.options).fingerprint !== rootFingerprint(root);
    } catch {
      return false; // one that was used is often gone
    }
  }

  async #join(signal: AbortSignal): Promise<void> {
    const { options, authority, clock, log } = this.#deps;
    const invitation = readInvitation(options);
    const reply = await useInvitation(invitation, { options, csr: await authority.joinCsr(), clock, log }, signal);
    await authority.adoptJoin(reply, { addresses: invitation.addresses, token: reply.token });
    log.info('joined', { primary: invitation.datacenter, until: isoTime(authority.row?.notAfter ?? 0) });
  }

  #issue(): void {
    const { authority, options, log } = this.#deps;
    const key = generateLeafKey();
    const { chain, root } = authority.issueServer(spkiOf(key), options.node);
    const { minVersion, ciphers } = options.rpc;
    this.#material = createTlsMaterial(
      {
        ca: [{ text: root, from: 'the root' }],
        cert: { text: chain, from: 'the certificate' },
        key: { text: privateKeyToPem(key), from: 'its key' },
      },
      { minVersion, ciphers },
    );
    const { notAfter } = this.#material.own as OwnCertificate;
    this.#deps.onIssued(this.#material);
    this.#life = { notBefore: this.#deps.clock.now(), notAfter };
    log.debug('own certificate made', { until: isoTime(notAfter) });
  }

  /** Then nothing can be renewed: this server works on for its own datacenter, and speaks to no other. */
  #expired(): boolean {
    const [{ row }, now] = [this.#deps.authority, this.#deps.clock.now()];
    return row === undefined || row.notAfter < now || isAhead(row, now);
  }

  #due(life: Life | undefined): number {
    return renewalDueIn(life, this.#deps.clock.now());
  }

  #left(): { readonly secondsLeft?: number } {
    const own = this.#material?.own;
    return own === undefined ? {} : { secondsLeft: Math.round((own.notAfter - this.#deps.clock.now()) / 1_000) };
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
