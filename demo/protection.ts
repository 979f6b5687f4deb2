import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CliResult, isthmus, json, useAccess } from '../test/harness/index.ts';
import type { AclToken } from './types.ts';

/** The program of this checkout; the demo is run from its top folder. */
const BINARY = join(process.cwd(), 'bin', 'isthmus');

/** What agents let requests without a token see: names and addresses, so that DNS works. */
const SEE =
  'node_prefix "" { policy = "read" } service_prefix "" { policy = "read" } query_prefix "" { policy = "read" }';

/**
 * What `--secure` adds: an authority for the HTTP API and its certificates (`isthmus tls`), access control that denies
 * what is not allowed, and server ports whose certificates Isthmus manages, with an invitation for each datacenter.
 */
export class Protection {
  readonly #folder: string;
  /** Secret of the token with all rights. */
  readonly #management = randomUUID();
  #made: Promise<void> | undefined;
  #invitations = 0;
  #seeing = '';

  constructor(folder: string) {
    this.#folder = join(folder, 'protection');
  }

  /** What is laid over the configuration of a datacenter's server. */
  async config(
    datacenter: string,
    httpsPort: number,
  ): Promise<{ readonly config: Record<string, unknown>; readonly ports: Record<string, number> }> {
    this.#made ??= this.#makeAuthority();
    await this.#made;
    const made = await this.#tls('cert', 'create', '-server', '-dc', datacenter, '-format=json');
    const { Cert, Key } = JSON.parse(made.out) as { readonly Cert: string; readonly Key: string };
    return {
      config: {
        acl: {
          enabled: true,
          default_policy: 'deny',
          enable_token_replication: true,
          enable_token_persistence: true,
          tokens: { initial_management: this.#management, agent: this.#management },
        },
        tls: {
          internal_rpc: { managed: true },
          https: {
            ca_file: this.#file('consul-agent-ca.pem'),
            cert_file: this.#file(Cert),
            key_file: this.#file(Key),
            verify_incoming: true,
          },
        },
      },
      ports: { http: -1, https: httpsPort },
    };
  }

  /** Lets requests without a token see names, once the datacenter is there. */
  async afterStart(http: string, datacenter: string): Promise<void> {
    if (this.#seeing === '') {
      await json(http, 'PUT', '/v1/acl/policy', { Name: 'see', Rules: SEE });
      this.#seeing = (await json<AclToken>(http, 'PUT', '/v1/acl/token', { Policies: [{ Name: 'see' }] })).SecretID;
    }
    const set = await this.#run(
      'acl',
      'set-agent-token',
      ...this.clientFlags(),
      `-http-addr=${http}`,
      'default',
      this.#seeing,
    );
    if (set.code !== 0) throw new Error(`${datacenter}: ${set.err}`);
  }

  /** Makes an invitation and resolves with its file. @param flags with which the primary is reached */
  async invite(flags: readonly string[], joining: string): Promise<string> {
    this.#invitations += 1;
    const file = this.#file(`${joining}-${this.#invitations}.invitation`);
    const made = await this.#run('federation', 'invite', ...flags, '-out', file);
    if (made.code !== 0) throw new Error(made.err);
    return file;
  }

  /** A sidecar has a token of its own, good for its service alone. */
  async sidecarArgs(http: string, service: string): Promise<readonly string[]> {
    const identity = { ServiceIdentities: [{ ServiceName: service }] };
    const { SecretID } = await json<AclToken>(http, 'PUT', '/v1/acl/token', identity);
    return ['-http-addr', http, ...this.#tlsFlags(), '-token', SecretID];
  }

  /** Flags of the one who may do everything. */
  clientFlags(): readonly string[] {
    return [...this.#tlsFlags(), '-token', this.#management];
  }

  /** The same for a terminal. */
  exports(): readonly string[] {
    return [
      `export CONSUL_HTTP_TOKEN=${this.#management}`,
      `export CONSUL_CACERT=${this.#file('consul-agent-ca.pem')}`,
      `export CONSUL_CLIENT_CERT=${this.#file('dc1-cli-consul-0.pem')} ` +
        `CONSUL_CLIENT_KEY=${this.#file('dc1-cli-consul-0-key.pem')}`,
    ];
  }

  curlFlags(): string {
    return (
      '--cacert $CONSUL_CACERT --cert $CONSUL_CLIENT_CERT --key $CONSUL_CLIENT_KEY -H "X-Consul-Token: ' +
      '$CONSUL_HTTP_TOKEN" '
    );
  }

  /** Certificates, without a token. */
  get tls(): { readonly ca: string; readonly cert: string; readonly key: string } {
    const read = (name: string): string => readFileSync(this.#file(name), 'utf8');
    return {
      ca: read('consul-agent-ca.pem'),
      cert: read('dc1-cli-consul-0.pem'),
      key: read('dc1-cli-consul-0-key.pem'),
    };
  }

  async #makeAuthority(): Promise<void> {
    mkdirSync(this.#folder);
    await this.#tls('ca', 'create');
    await this.#tls('cert', 'create', '-cli');
    useAccess({ tls: this.tls, token: this.#management });
  }

  #tlsFlags(): string[] {
    return [
      '-ca-file',
      this.#file('consul-agent-ca.pem'),
      '-client-cert',
      this.#file('dc1-cli-consul-0.pem'),
      '-client-key',
      this.#file('dc1-cli-consul-0-key.pem'),
    ];
  }

  async #tls(...args: string[]): Promise<CliResult> {
    const result = await this.#run('tls', ...args);
    if (result.code !== 0) throw new Error(result.err);
    return result;
  }

  #run(...args: string[]): Promise<CliResult> {
    return isthmus(args, BINARY, this.#folder);
  }

  #file(name: string): string {
    return join(this.#folder, name);
  }
}
