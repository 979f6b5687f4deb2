import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RuntimeConfig } from '../../config/types.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { keep } from '../../lib/kept-file.ts';
import type { Logger } from '../../telemetry/types.ts';

/** Which of the agent's own tokens; the second spelling of the API is an older one. */
const AGENT_TOKEN_KINDS = [
  'default',
  'agent',
  'agent_master',
  'replication',
  'dns',
  'config_file_service_registration',
] as const;

export type AgentTokenKind = (typeof AGENT_TOKEN_KINDS)[number];

const FILE = 'acl-tokens.json';

/** The tokens that this agent itself uses: from the configuration, until the API sets others. */
export class AgentTokens {
  readonly #file: string | undefined;
  #configured: Readonly<Record<AgentTokenKind, string>>;
  #set: Partial<Record<AgentTokenKind, string>> = {};
  readonly #listeners = new Set<() => void>();
  #invited: () => string = () => '';

  constructor(config: Pick<RuntimeConfig, 'acl' | 'dataDir'>, log: Logger) {
    const { acl, dataDir } = config;
    this.#configured = configured(config);
    this.#file = acl.enableTokenPersistence && dataDir !== '' ? join(dataDir, FILE) : undefined;
    if (this.#file !== undefined) this.#set = readTokens(this.#file, log);
  }

  /** Takes over what the configuration says now; what the API set goes on counting. */
  configure(config: Pick<RuntimeConfig, 'acl'>): void {
    this.#configured = configured(config);
    this.#tell();
  }

  /** Calls `listener` when a token may have changed; returns the function that ends it. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** The replication token that came with an invitation: counts where no other is given. */
  useInvited(token: () => string): void {
    this.#invited = token;
  }

  get(kind: AgentTokenKind): string {
    const given = this.#set[kind] ?? this.#configured[kind];
    return given === '' && kind === 'replication' ? this.#invited() : given;
  }

  /** For what the agent does on its own; undefined is anonymous. */
  own(): string | undefined {
    return this.get('agent') || this.get('default') || undefined;
  }

  /** Throws `not_found` for a kind that does not exist. */
  set(kind: string, secret: string): void {
    const name = kind
      .replace(/^acl_(.*)_token$/, '$1')
      .replace(/^acl_token$/, 'default')
      .replace(/^agent_recovery$/, 'agent_master');
    const known = AGENT_TOKEN_KINDS.find((one) => one === name);
    if (known === undefined) throw new IsthmusError('not_found', `Token ${JSON.stringify(kind)} is unknown`);
    const set = { ...this.#set, [known]: secret };
    if (this.#file !== undefined) keep(this.#file, JSON.stringify(set));
    this.#set = set;
    this.#tell();
  }
}

function configured({ acl }: Pick<RuntimeConfig, 'acl'>): Readonly<Record<AgentTokenKind, string>> {
  const { agent, agentMaster, default: usual, replication, dns, fileRegistration } = acl.tokens;
  return {
    ...{ agent, agent_master: agentMaster, default: usual, replication, dns },
    config_file_service_registration: fileRegistration,
  };
}

function readTokens(file: string, log: Logger): Partial<Record<AgentTokenKind, string>> {
  try {
    const found = JSON.parse(readFileSync(file, 'utf8')) as Readonly<Record<string, unknown>>;
    return Object.fromEntries(
      AGENT_TOKEN_KINDS.flatMap((kind) => (typeof found[kind] === 'string' ? [[kind, found[kind]]] : [])),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      log.warn('tokens that were set before cannot be read', { file });
    return {};
  }
}
