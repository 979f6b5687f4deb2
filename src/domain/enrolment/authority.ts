import { createHash, sign, verify } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { canonicalDatacenter, canonicalNodeName, tryDatacenter } from '../../model/names.ts';
import type { InvitationKind, InviteArgs, MadeInvitation } from '../../model/transport.ts';
import {
  agentName,
  agentNodeName,
  createAgentCa,
  signAgentCert,
  signAgentIntermediate,
} from '../../pki/agent-certs.ts';
import { type Certificate, parseCertificate, parseChain, publicKeyOf } from '../../pki/certificate.ts';
import { verifyChain } from '../../pki/chain.ts';
import { createCsr, parseCsr } from '../../pki/csr.ts';
import { createIssuer, type Issuer } from '../../pki/issuer.ts';
import { colonHex, generateKey, keyIdOf, privateKeyFromPem, privateKeyToPem, spkiOf } from '../../pki/keys.ts';
import type { SecretRows } from '../../pki/secret-rows.ts';
import type { Store, Tx } from '../../store/store.ts';
import { joinKey } from '../../store/table.ts';
import { formatInvitation } from './invitation-text.ts';
import { DEFAULT_TTL_MS, Invitations } from './invitations.ts';
import { Secrets } from './secrets.ts';
import {
  type AuthorityRow,
  declareTables,
  type InvitationRow,
  type InvitationUse,
  ONLY,
  type TransportTables,
} from './tables.ts';

export interface TransportDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly datacenter: string;
  readonly primaryDatacenter: string;
  readonly domain: string;
  /** Encrypts keys at rest. */
  readonly encryptionKey?: Buffer;
  /** Life of an agent's certificate, milliseconds. */
  readonly certMs: number;
  /** False where the certificates of the server ports come from files: there are no invitations then. */
  readonly managed: boolean;
  /** host:port of this datacenter's servers, as who is invited reaches them. */
  readonly addresses: (kind: InvitationKind) => readonly string[];
  /** Datacenters that are known now, however they came: their names are taken. */
  readonly known: () => readonly string[];
}

/** What a joiner asks with an invitation. */
export interface JoinRequest {
  readonly secret: string;
  readonly datacenter: string;
  readonly node: string;
  /** PEM. */
  readonly csr: string;
}

/**
 * That who asks for a datacenter's next authority has the present one: the key of one of its servers alone, which lives
 * for days and lies on a machine of its own, is not enough to become an authority for months.
 */
export interface AuthorityProof {
  /** PEM of the present authority's certificate. */
  readonly authority: string;
  /** Of the request, by the present authority's key; base64url. */
  readonly signature: string;
}

/** A certificate for the key of a CSR. */
export interface Granted {
  /** PEM: the certificate, and what stands between it and the root. */
  readonly chain: string;
  readonly root: string;
}

export interface Joined extends Granted {
  readonly row: InvitationRow;
  /** As which joiner it was admitted. */
  readonly use: InvitationUse;
}

const BACKDATE_MS = 60_000;
const ROOT_MS = 3_650 * 86_400_000;
/** A datacenter's authority lives as long as this many of its certificates. */
const ISSUER_LIVES = 30;
/** Of the key that a datacenter joins with, kept until it has its certificate. */
const PENDING = 'joining';

/**
 * The authority behind the certificates of the server ports, where they do not come from files. The primary holds a
 * root; each secondary holds an authority of its own below it, which can't make certificates with names of another
 * datacenter and needs the primary only for its own renewal.
 */
export class TransportAuthority {
  readonly invitations: Invitations;
  readonly writes = { 'transport.invite': (args: InviteArgs): Promise<MadeInvitation> => this.invite(args) };
  readonly #deps: TransportDeps;
  readonly #tables: TransportTables;
  readonly #secrets: Secrets;
  #issuer: { readonly row: AuthorityRow; readonly issuer: Issuer } | undefined;

  constructor(deps: TransportDeps) {
    const { store, clock } = deps;
    this.#deps = deps;
    this.#tables = declareTables(store);
    this.#secrets = new Secrets(this.#tables.secrets, deps.encryptionKey);
    this.invitations = new Invitations(store, this.#tables, clock, (tx, joining, row) => this.#admit(tx, joining, row));
  }

  /** Keys and tokens as they go into a snapshot, and come out of one. */
  get secretRows(): SecretRows {
    return this.#secrets.rows;
  }

  /** What this datacenter has; undefined before it was made or joined. */
  get row(): AuthorityRow | undefined {
    return this.#tables.authority.get(ONLY)?.value;
  }

  /** Calls `listener` when another server of the store has changed it; returns the function that ends it. */
  onChange(listener: () => void): () => void {
    return this.#deps.store.onCommit(({ changes }) => {
      if (changes.some(({ table }) => table === this.#tables.authority.spec.name)) listener();
    });
  }

  /** Makes the root, in the primary, unless there is one. */
  async ensureRoot(): Promise<void> {
    if (this.row !== undefined) return;
    const { store, clock, domain } = this.#deps;
    const now = clock.now();
    const key = await generateKey({ type: 'ec', bits: 256 });
    const validity = { notBefore: now - BACKDATE_MS, notAfter: now + ROOT_MS };
    const keyId = colonHex(keyIdOf(spkiOf(key)));
    const root = createAgentCa({
      key,
      commonName: `Isthmus Agent CA ${domain} ${keyId.slice(0, 8)}`.replace(/:/g, ''),
      ...validity,
      permittedDomains: [],
    });
    await store.transact((tx) => {
      if (tx.get(this.#tables.authority, ONLY) !== undefined) return; // another server was faster
      this.#secrets.put(tx, keyId, privateKeyToPem(key));
      tx.put(this.#tables.authority, { root, issuer: root, keyId, ...validity, addresses: [], tokenId: '' });
    });
  }

  /** A certificate for a server of this datacenter. @param spki of its key, DER */
  issueServer(spki: Buffer, node: string): Granted {
    return this.#issue('server', spki, node);
  }

  async invite(args: InviteArgs): Promise<MadeInvitation> {
    const { datacenter, primaryDatacenter, domain } = this.#deps;
    const { Kind: kind = 'datacenter', JoiningDatacenter = '', TTL = DEFAULT_TTL_MS, Addresses = [] } = args;
    if (kind !== 'datacenter' && kind !== 'agent')
      throw new IsthmusError('invalid_argument', 'Kind must be "datacenter" or "agent"');
    if (kind === 'datacenter' && datacenter !== primaryDatacenter)
      throw new IsthmusError(
        'rejected',
        `datacenters are invited by the primary: add -datacenter ${primaryDatacenter}`,
      );
    if (kind === 'agent' && JoiningDatacenter !== '')
      throw new IsthmusError(
        'invalid_argument',
        'an invitation is for a datacenter or for a client agent: give JoiningDatacenter or Kind "agent", not both',
      );
    const joining = JoiningDatacenter === '' ? '' : canonicalDatacenter(JoiningDatacenter);
    if (joining === datacenter || joining === primaryDatacenter)
      throw new IsthmusError('invalid_argument', `datacenter "${joining}" is the one that invites`);
    if (Addresses.some((address) => !/^[^\s,]+:\d{1,5}$/.test(address)))
      throw new IsthmusError('invalid_argument', 'Addresses must be of the form host:port');
    if (this.row === undefined && datacenter === primaryDatacenter && this.#deps.managed) await this.ensureRoot();
    const { row } = this;
    if (row === undefined)
      throw new IsthmusError(
        'rejected',
        'invitations need certificates that Isthmus manages, and ' +
          (this.#deps.managed
            ? 'this datacenter has not joined its primary by one'
            : 'those of this server come from files'),
      );
    const made = await this.invitations.create({ kind, datacenter: joining, ttlMs: TTL });
    const invitation = formatInvitation({
      kind,
      datacenter,
      domain,
      addresses: Addresses.length > 0 ? Addresses : this.#deps.addresses(kind),
      fingerprint: rootFingerprint(row.root),
      secret: made.secret,
      expiresAt: made.row.expiresAt,
    });
    return { ID: made.row.id, Invitation: invitation, ExpiresAt: new Date(made.row.expiresAt).toISOString() };
  }

  /**
   * Answers a joiner. Throws `permission_denied` with what it has to do. What is signed is what was admitted when the
   * invitation was used first: a repeat that names something else changes nothing.
   */
  async join(request: JoinRequest): Promise<Joined> {
    const { spki } = parseCsr(request.csr);
    const keyHash = createHash('sha256').update(spki).digest('hex');
    const joiner = {
      datacenter: canonicalDatacenter(request.datacenter),
      node: canonicalNodeName(request.node),
      keyHash,
    };
    const { row, use } = await this.invitations.use(request.secret, joiner);
    const granted =
      row.kind === 'agent' ? this.#issue('client', spki, use.node) : await this.#signDatacenter(use.datacenter, spki);
    return { ...granted, row, use };
  }

  /** Another certificate for a datacenter that has one. @param datacenter by its certificate */
  async renewDatacenter(datacenter: string, csr: string, proof: AuthorityProof | undefined): Promise<Granted> {
    const { spki } = parseCsr(csr);
    if (proof === undefined || !this.#holds(datacenter, csr, proof))
      throw new IsthmusError(
        'permission_denied',
        `only who has the authority of "${datacenter}" can renew it, and the request does not prove that: upgrade ` +
          `the servers there`,
      );
    return this.#signDatacenter(datacenter, spki);
  }

  /**
   * Another certificate for a client agent of this datacenter. @param node by its certificate; '' when that names none
   */
  renewAgent(node: string, csr: string): Granted {
    return this.#issue('client', parseCsr(csr).spki, node);
  }

  /** The request by which this datacenter joins; its key is kept, so that it can be sent again. */
  async joinCsr(): Promise<string> {
    let pem = this.#secrets.get(PENDING);
    if (pem === undefined) {
      pem = privateKeyToPem(await generateKey({ type: 'ec', bits: 256 }));
      const made = pem;
      await this.#deps.store.transact((tx) => this.#secrets.put(tx, PENDING, made));
    }
    return createCsr(privateKeyFromPem(pem), { uri: this.#csrName() });
  }

  /** Takes over what the primary gave for {@link joinCsr}. */
  async adoptJoin(
    granted: Granted,
    more: { readonly addresses: readonly string[]; readonly token: string },
  ): Promise<void> {
    const pem = this.#secrets.get(PENDING);
    if (pem === undefined) throw new IsthmusError('internal', 'the key of the request is gone');
    await this.#adopt(granted, pem, more.addresses, more.token);
  }

  /** A request for this datacenter's next authority, with a new key. */
  async renewalCsr(): Promise<{
    readonly csr: string;
    readonly proof: AuthorityProof;
    adopt(granted: Granted): Promise<void>;
  }> {
    const { row } = this.#ready();
    const key = await generateKey({ type: 'ec', bits: 256 });
    const csr = createCsr(key, { uri: this.#csrName() });
    const present = privateKeyFromPem(this.#secrets.get(row.keyId) as string);
    const signature = sign('sha256', renewalText(csr), present).toString('base64url');
    return {
      csr,
      proof: { authority: row.issuer, signature },
      adopt: (granted) => this.#adopt(granted, privateKeyToPem(key), this.row?.addresses ?? []),
    };
  }

  /** The replication token that came with the invitation; '' when none did. */
  replicationToken(): string {
    const id = this.row?.tokenId ?? '';
    return id === '' ? '' : (this.#secrets.get(id) ?? '');
  }

  async #adopt(granted: Granted, keyPem: string, addresses: readonly string[], token?: string): Promise<void> {
    const { certificate } = createIssuer(granted.chain, privateKeyFromPem(keyPem)); // it fits the key, or this throws
    const { datacenter, domain, clock } = this.#deps;
    verifyChain([certificate], parseChain(granted.root), clock.now());
    if (!isAuthorityOf(certificate, datacenter, domain))
      throw new IsthmusError(
        'rejected',
        `the primary gave a certificate for another datacenter than "${datacenter}" (${certificate.commonName}): ` +
          `was the invitation used for that one?`,
      );
    const keyId = colonHex(keyIdOf(certificate.spki));
    const { notBefore, notAfter } = certificate;
    await this.#deps.store.transact((tx) => {
      const before = tx.get(this.#tables.authority, ONLY);
      const tokenId = token === undefined ? (before?.tokenId ?? '') : token === '' ? '' : 'replication-token';
      if (token !== undefined && token !== '') this.#secrets.put(tx, tokenId, token);
      this.#secrets.put(tx, keyId, keyPem);
      this.#secrets.remove(tx, PENDING);
      if (before !== undefined && before.keyId !== keyId) this.#secrets.remove(tx, before.keyId);
      tx.put(this.#tables.authority, {
        root: granted.root,
        issuer: granted.chain,
        keyId,
        notBefore,
        notAfter,
        addresses,
        tokenId,
      });
    });
  }

  async #signDatacenter(name: string, spki: Buffer): Promise<Granted> {
    const { store, clock, domain, certMs } = this.#deps;
    const datacenter = canonicalDatacenter(name);
    if (this.#isOurs(datacenter))
      throw new IsthmusError('permission_denied', `datacenter "${datacenter}" is the one that invites`);
    const { row, issuer } = this.#ready();
    const now = clock.now();
    const { pem, notAfter } = signAgentIntermediate(issuer, {
      spki,
      datacenter,
      domain,
      notBefore: now - BACKDATE_MS,
      notAfter: now + ISSUER_LIVES * certMs,
    });
    await store.transact((tx) => tx.put(this.#tables.members, { datacenter, notAfter }));
    return { chain: pem, root: row.root };
  }

  /** @param node a name that does not fit into a host name is left out */
  #issue(role: 'server' | 'client', spki: Buffer, node: string): Granted {
    const { clock, datacenter, domain, certMs } = this.#deps;
    const { row, issuer } = this.#ready();
    const ofNode = agentNodeName(node, role, datacenter, domain);
    const moreNames = ofNode === undefined ? [] : [ofNode];
    const now = clock.now();
    const validity = { notBefore: now - BACKDATE_MS, notAfter: now + certMs };
    const { pem } = signAgentCert(issuer, { spki, role, datacenter, domain, moreNames, ...validity });
    const chain = row.issuer === row.root ? pem : pem + row.issuer;
    verifyChain(parseChain(chain), parseChain(row.root), now); // nothing is handed out that would be refused
    return { chain, root: row.root };
  }

  #holds(datacenter: string, csr: string, { authority, signature }: AuthorityProof): boolean {
    const { clock, domain } = this.#deps;
    try {
      const certificate = parseCertificate(authority);
      verifyChain([certificate], parseChain(this.#ready().row.root), clock.now());
      return (
        isAuthorityOf(certificate, datacenter, domain) &&
        verify('sha256', renewalText(csr), publicKeyOf(certificate), Buffer.from(signature, 'base64url'))
      );
    } catch {
      return false;
    }
  }

  #ready(): { readonly row: AuthorityRow; readonly issuer: Issuer } {
    const { row } = this;
    if (row === undefined) throw new IsthmusError('unavailable', 'this datacenter has no transport authority');
    if (this.#issuer?.row !== row) {
      const key = this.#secrets.get(row.keyId);
      if (key === undefined) throw new IsthmusError('internal', 'the key of the transport authority is gone');
      this.#issuer = { row, issuer: createIssuer(row.issuer, privateKeyFromPem(key)) };
    }
    return this.#issuer;
  }

  /** Names are what datacenters are trusted by: one that is taken is only given to whom it was promised. */
  #admit(tx: Tx, joining: string, { kind, datacenter: promised }: InvitationRow): string | undefined {
    const { datacenter, clock, certMs } = this.#deps;
    if (kind === 'agent')
      return joining === datacenter ? undefined : `this invitation is for agents of datacenter "${datacenter}"`;
    if (this.#isOurs(joining))
      return `datacenter "${joining}" is the one that invites: give the new datacenter another name`;
    if (promised !== '' && joining !== promised) return `this invitation is for datacenter "${promised}"`;
    const member = tx.get(this.#tables.members, joinKey(joining));
    const known = this.#deps.known().some((name) => tryDatacenter(name) === joining);
    if (promised === '' && (known || (member !== undefined && member.notAfter >= clock.now())))
      return (
        `there is a datacenter "${joining}" already: give the new one another name, or invite it by name ` +
        `(-joining ${joining})`
      );
    tx.put(this.#tables.members, { datacenter: joining, notAfter: clock.now() + ISSUER_LIVES * certMs });
    return undefined;
  }

  #isOurs(datacenter: string): boolean {
    return datacenter === this.#deps.datacenter || datacenter === this.#deps.primaryDatacenter;
  }

  #csrName(): string {
    return `isthmus:datacenter:${this.#deps.datacenter}`;
  }
}

function isAuthorityOf(certificate: Certificate, datacenter: string, domain: string): boolean {
  return certificate.ca && (certificate.nameConstraints?.dns ?? []).includes(agentName('server', datacenter, domain));
}

/** What a proof signs: it is good for this request and for nothing else. */
function renewalText(csr: string): Buffer {
  return Buffer.from(`isthmus renewal of an authority\n${csr}`);
}

/** SHA-256 of a root certificate, hexadecimal, as invitations name it. */
export function rootFingerprint(pem: string): string {
  return createHash('sha256').update(parseCertificate(pem).der).digest('hex');
}
