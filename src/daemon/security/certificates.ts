import type { TlsConfig, TlsSection } from '../../config/types.ts';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { OwnCertificate, TlsMaterial } from '../../pki/tls-material.ts';
import type { Counter, Logger, Metrics } from '../../telemetry/types.ts';
import { fingerprintOfFiles, readCertificates } from './certificate-files.ts';

/** What certificates are for: the server ports, the HTTPS listener, or xDS over TLS. */
export type CertificateUse = 'internal_rpc' | 'https' | 'grpc';

export interface CertificateExpiry extends OwnCertificate {
  readonly use: CertificateUse;
}

export interface CertificatesDeps {
  readonly tls: TlsConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Between two looks at the files, milliseconds. */
const WATCH_MS = 2_000;
/** Between two warnings about a certificate that ends soon, milliseconds. */
const WARN_EVERY_MS = 86_400_000;
/** An operator needs this long to replace one, milliseconds; or a third of its life, when that is less. */
const WARN_BEFORE_MS = 30 * 86_400_000;

interface Section {
  config: TlsSection;
  material: TlsMaterial | undefined;
  /** Of the files that `material` was read from. */
  fingerprint: string;
  /** Of files that could not be used; told once they have stayed so for one look: a pair is not written in one step. */
  broken: { readonly fingerprint: string; told: boolean } | undefined;
  warnedAt: number;
}

/**
 * The certificates that this agent uses, from files: read at the start, when a file changes, and by a reload. Files
 * that do not fit together change nothing.
 */
export class Certificates implements Service {
  readonly name = 'certificates';
  readonly #deps: CertificatesDeps;
  readonly #sections: Readonly<Record<CertificateUse, Section>>;
  readonly #listeners = new Set<(use: CertificateUse) => void>();
  readonly #failures: Counter;
  readonly #tasks;
  #managed: TlsMaterial | undefined;

  /** Throws `invalid_argument` when the files can't be used. */
  constructor(deps: CertificatesDeps) {
    const { tls, clock, log, metrics } = deps;
    this.#deps = deps;
    this.#sections = readSections(tls);
    this.#tasks = createTaskGroup({
      clock,
      onError: (task, error) => log.warn('background task failed', { task, error: error.message }),
    });
    metrics.gauge(
      {
        name: 'isthmus_tls_certificate_expiry_seconds',
        help: "Seconds until this agent's own certificate, or one above it, expires; by what it is used for.",
        labels: ['use'],
      },
      (set) => {
        for (const { use, notAfter } of this.expiries()) set((notAfter - clock.now()) / 1_000, { use });
      },
    );
    this.#failures = metrics.counter({
      name: 'isthmus_tls_reload_failures_total',
      help: 'Times that changed certificate files could not be used; the certificates of before stay in use.',
      labels: ['use'],
    });
  }

  /** What is used now; undefined when there is none. */
  material(use: CertificateUse): TlsMaterial | undefined {
    const { material } = this.#sections[use];
    return material ?? (use === 'https' ? undefined : this.#managed);
  }

  /** The server ports use it where the configuration names no files. */
  useManaged(material: TlsMaterial): void {
    this.#managed = material;
  }

  /** Calls `listener` after certificates were replaced; returns the function that ends it. */
  onChange(listener: (use: CertificateUse) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Takes over what the configuration names now, read anew. Throws `invalid_argument`, and nothing is changed, when it
   * can't be used.
   */
  configure(tls: TlsConfig): void {
    const next = readSections(tls);
    for (const use of USES) this.#take(use, next[use]);
  }

  expiries(): readonly CertificateExpiry[] {
    return USES.flatMap((use) => {
      // xDS mostly takes the certificate of the server ports.
      const own = (use === 'grpc' ? this.#sections.grpc.material : this.material(use))?.own;
      return own === undefined ? [] : [{ use, ...own }];
    });
  }

  async start(): Promise<void> {
    this.#tasks.loop('watching certificates', { pauseMs: WATCH_MS }, async () => {
      for (const use of USES) this.#look(use);
      this.#warn();
    });
  }

  stop(): Promise<void> {
    return this.#tasks.stop();
  }

  #look(use: CertificateUse): void {
    const section = this.#sections[use];
    const fingerprint = fingerprintOfFiles(section.config);
    if (fingerprint === section.fingerprint) {
      section.broken = undefined;
      return;
    }
    const { broken } = section;
    if (broken?.fingerprint === fingerprint && broken.told) return;
    try {
      this.#take(use, readSection(section.config));
    } catch (thrown) {
      const told = broken?.fingerprint === fingerprint;
      section.broken = { fingerprint, told };
      if (!told) return;
      this.#failures.add(1, { use });
      this.#deps.log.error('changed certificates cannot be used; those of before stay in use', {
        use,
        error: IsthmusError.from(thrown).message,
      });
    }
  }

  #take(use: CertificateUse, next: Section): void {
    const section = this.#sections[use];
    const changed = next.fingerprint !== section.fingerprint;
    Object.assign(section, { ...next, warnedAt: changed ? 0 : section.warnedAt });
    if (!changed) return;
    const { own } = next.material ?? {};
    this.#deps.log.info('certificates replaced', {
      use,
      ...(own === undefined ? {} : { names: own.names, until: new Date(own.notAfter).toISOString() }),
    });
    for (const listener of this.#listeners) listener(use);
  }

  #warn(): void {
    const now = this.#deps.clock.now();
    for (const { use, notBefore, notAfter, names } of this.expiries()) {
      const section = this.#sections[use];
      if (section.material === undefined) continue; // renewed without anyone's help
      const left = notAfter - now;
      if (left > Math.min(WARN_BEFORE_MS, (notAfter - notBefore) / 3) || now - section.warnedAt < WARN_EVERY_MS)
        continue;
      section.warnedAt = now;
      const fields = { use, names, until: new Date(notAfter).toISOString() };
      if (left <= 0) this.#deps.log.error('the certificate of this agent has expired: replace it', fields);
      else this.#deps.log.warn('the certificate of this agent expires soon: replace it', fields);
    }
  }
}

const USES: readonly CertificateUse[] = ['internal_rpc', 'https', 'grpc'];

function readSections({ rpc, https, grpc }: TlsConfig): Record<CertificateUse, Section> {
  return { internal_rpc: readSection(rpc), https: readSection(https), grpc: readSection(grpc) };
}

function readSection(config: TlsSection): Section {
  // before the files are read: a change meanwhile is found by the next look
  const fingerprint = fingerprintOfFiles(config);
  return { config, material: readCertificates(config), fingerprint, broken: undefined, warnedAt: 0 };
}
