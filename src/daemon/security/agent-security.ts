import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { keep, readKept } from '../../lib/kept-file.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import { createCsr } from '../../pki/csr.ts';
import { generateLeafKey, privateKeyFromPem, privateKeyToPem } from '../../pki/keys.ts';
import { createTlsMaterial, type TlsMaterial } from '../../pki/tls-material.ts';
import { enrolWithCertificate } from '../../rpc/transport/enrol-client.ts';
import type { TransportSecurity } from '../../rpc/transport/security.ts';
import { createTlsSecurity } from '../../rpc/transport/tls.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { Certificates } from './certificates.ts';
import { firstAnswer, readInvitation, renewalDueIn, renewalPause, useInvitation } from './enrolment.ts';
import type { SecurityOptions } from './options.ts';
import { policyFor } from './policy.ts';

export interface AgentSecurityDeps {
  readonly options: SecurityOptions;
  readonly certificates: Certificates;
  /** host:port of servers that may renew the certificate. */
  readonly servers: () => readonly string[];
  /** Told where the servers are that the invitation names. */
  readonly onServers: (addresses: readonly string[]) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface AgentSecurity {
  /** For everyone who dials a server. */
  readonly security: TransportSecurity;
  /** To start before anyone dials. */
  readonly service: Service;
}

/** TLS between a client agent and its servers: with certificates from files, or one that came with an invitation. */
export function createAgentSecurity(deps: AgentSecurityDeps): AgentSecurity {
  const { options, certificates, clock } = deps;
  const { rpc } = options;
  const invited = new InvitedCertificate({ ...deps, log: deps.log.child({ component: 'tls' }) });
  return {
    security: createTlsSecurity({
      material: () => certificates.material('internal_rpc'),
      policy: (elsewhere) => policyFor(rpc, invited.material !== undefined, elsewhere),
      domain: options.domain,
      datacenter: options.datacenter,
      clock,
      handshakeMs: options.handshakeMs,
    }),
    service: invited,
  };
}

const FILE = 'agent-certificate.json';

/** What is kept, in the data directory, with mode 0600. */
interface Kept {
  readonly key: string;
  /** '' until the invitation was answered. */
  readonly chain: string;
  readonly root: string;
  readonly addresses: readonly string[];
}

/** The certificate of a client agent that joined by an invitation: kept over restarts, renewed at half of its life. */
class InvitedCertificate implements Service {
  readonly name = 'certificate of this agent';
  readonly #deps: AgentSecurityDeps;
  readonly #file: string | undefined;
  readonly #tasks;
  #kept: Kept | undefined;
  #material: TlsMaterial | undefined;
  #endJumps: () => void = () => undefined;

  constructor(deps: AgentSecurityDeps) {
    const { options, clock, log } = deps;
    this.#deps = deps;
    this.#file = options.dataDir === '' ? undefined : join(options.dataDir, FILE);
    this.#tasks = createTaskGroup({
      clock,
      onError: (task, error, retryInMs) =>
        log.warn('certificate not renewed', { task, error: error.message, retryInMs }),
    });
  }

  get material(): TlsMaterial | undefined {
    return this.#material;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { options, clock, log } = this.#deps;
    this.#kept = this.#read();
    if (this.#kept !== undefined && this.#kept.chain !== '') this.#use(this.#kept);
    const expired = (this.#material?.own?.notAfter ?? 0) < clock.now();
    if (options.joinInvite !== '' && expired) await this.#join(signal);
    else if (this.#material === undefined && options.rpc.managed)
      throw new IsthmusError(
        'rejected',
        'this agent has no certificate yet: start it once with -join-invite FILE; "isthmus federation invite ' +
          '-agent" on a server makes the file',
      );
    else if (this.#material !== undefined && expired)
      log.error('the certificate of this agent has expired: invite it again and start it with -join-invite');
    if (this.#kept === undefined) return;
    this.#deps.onServers(this.#kept.addresses);
    const renew = async (): Promise<void> => {
      if (this.#dueIn() <= 0) await this.#renew();
    };
    this.#tasks.loop(
      'own certificate',
      { pauseMs: () => renewalPause(this.#dueIn()), backoff: { baseMs: 1_000, maxMs: 60_000 } },
      renew,
    );
    this.#endJumps = clock.onJump(() => this.#tasks.run('own certificate', renew));
  }

  async stop(): Promise<void> {
    this.#endJumps();
    await this.#tasks.stop();
  }

  async #join(signal: AbortSignal): Promise<void> {
    const { options, clock, log } = this.#deps;
    const invitation = readInvitation(options);
    const key = this.#kept?.key ?? privateKeyToPem(generateLeafKey());
    const { addresses } = invitation;
    this.#keep({ key, chain: '', root: '', addresses }); // first: the same key may ask again when the answer is lost
    const csr = createCsr(privateKeyFromPem(key), { uri: this.#csrName() });
    const { chain, root } = await useInvitation(invitation, { options, csr, clock, log }, signal);
    this.#use(this.#keep({ key, chain, root, addresses }));
    log.info('joined', { datacenter: invitation.datacenter });
  }

  async #renew(): Promise<void> {
    const { options, clock, servers, log } = this.#deps;
    const [kept, material] = [this.#kept, this.#material];
    if (kept === undefined || material === undefined) return;
    const key = generateLeafKey();
    const csr = createCsr(key, { uri: this.#csrName() });
    const addresses = [...new Set([...servers(), ...kept.addresses])];
    const { chain, root } = await firstAnswer(addresses, (address) =>
      enrolWithCertificate(
        { address, datacenter: options.datacenter, domain: options.domain },
        material,
        { op: 'renew', csr },
        clock,
      ),
    );
    this.#use(this.#keep({ ...kept, key: privateKeyToPem(key), chain, root }));
    log.debug('own certificate renewed');
  }

  #use({ key, chain, root }: Kept): void {
    const { minVersion, ciphers } = this.#deps.options.rpc;
    const from = this.#file ?? 'the certificate';
    this.#material = createTlsMaterial(
      { ca: [{ text: root, from }], cert: { text: chain, from }, key: { text: key, from } },
      { minVersion, ciphers },
    );
    this.#deps.certificates.useManaged(this.#material);
  }

  #keep(kept: Kept): Kept {
    if (this.#file !== undefined) keep(this.#file, JSON.stringify(kept));
    this.#kept = kept;
    return kept;
  }

  #read(): Kept | undefined {
    if (this.#file === undefined) return undefined;
    const text = readKept(this.#file);
    if (text === undefined) return undefined;
    try {
      const { key, chain, root, addresses } = JSON.parse(text) as Kept;
      if ([key, chain, root].every((part) => typeof part === 'string') && Array.isArray(addresses))
        return { key, chain, root, addresses };
    } catch {
      // told below
    }
    throw new IsthmusError('rejected', `${this.#file} is damaged: remove it, and start with another invitation`);
  }

  #csrName(): string {
    const { datacenter, node } = this.#deps.options;
    return `isthmus:agent:${datacenter}:${encodeURIComponent(node)}`;
  }

  #dueIn(): number {
    return renewalDueIn(this.#material?.own, this.#deps.clock.now());
  }
}
