import type { KeyObject } from 'node:crypto';
import {
  encodeBasicConstraints,
  encodeExtKeyUsage,
  encodeHostNames,
  encodeKeyUsage,
  encodePermittedDomains,
} from './extensions.ts';
import { type Issuer, type Signed, selfSign } from './issuer.ts';
import { KEY_USAGE, OID } from './oids.ts';

/**
 * Certificates of agents, by which servers and agents know each other (not those of services): `server.<dc>.<domain>`,
 * `client.<dc>.<domain>`, `cli.<dc>.<domain>`.
 */
export type AgentRole = 'server' | 'client' | 'cli';

export interface AgentCaRequest {
  readonly key: KeyObject;
  readonly commonName: string;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** Host names below it must end in one of these; empty allows any. */
  readonly permittedDomains: readonly string[];
}

export interface AgentCertRequest {
  /** SubjectPublicKeyInfo of the certificate's key. */
  readonly spki: Buffer;
  readonly role: AgentRole;
  readonly datacenter: string;
  readonly domain: string;
  readonly moreNames?: readonly string[];
  readonly ips?: readonly string[];
  readonly notBefore: number;
  readonly notAfter: number;
}

/** A self-signed authority for certificates of agents, PEM. */
export function createAgentCa(request: AgentCaRequest): string {
  const { permittedDomains } = request;
  return selfSign(request, permittedDomains.length === 0 ? [] : [encodePermittedDomains(permittedDomains)]);
}

export function agentName(role: AgentRole, datacenter: string, domain: string): string {
  return `${role}.${datacenter}.${domain}`;
}

/**
 * The name that ties a certificate to one node: `<node>.<role>.<dc>.<domain>`; undefined for a node whose name is no
 * host name.
 */
export function agentNodeName(node: string, role: AgentRole, datacenter: string, domain: string): string | undefined {
  const name = `${node.toLowerCase()}.${agentName(role, datacenter, domain)}`;
  return name.length <= MAX_HOST && /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(name) ? name : undefined;
}

/** Characters of a host name. */
const MAX_HOST = 253;

/** An agent's certificate. Servers dial each other, and clients may serve HTTPS: both are good for both sides. */
export function signAgentCert(issuer: Issuer, request: AgentCertRequest): Signed {
  const { role, datacenter, domain, moreNames = [], ips = [] } = request;
  const name = agentName(role, datacenter, domain);
  const usages = role === 'cli' ? [OID.clientAuth] : [OID.clientAuth, OID.serverAuth];
  return issuer.signWith({ ...request, commonName: name }, [
    encodeKeyUsage(KEY_USAGE.digitalSignature | KEY_USAGE.keyEncipherment),
    encodeExtKeyUsage(...usages),
    encodeBasicConstraints(false),
    encodeHostNames([...new Set([name, ...moreNames, 'localhost'])], [...new Set([...ips, '127.0.0.1'])]),
  ]);
}

export interface AgentIntermediateRequest {
  readonly spki: Buffer;
  readonly datacenter: string;
  readonly domain: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** The authority of one datacenter below the root: it can't make certificates with names of another. */
export function signAgentIntermediate(issuer: Issuer, request: AgentIntermediateRequest): Signed {
  const { datacenter, domain } = request;
  return issuer.signWith({ ...request, commonName: `Isthmus Agent CA ${datacenter}` }, [
    encodeKeyUsage(KEY_USAGE.digitalSignature | KEY_USAGE.keyCertSign | KEY_USAGE.crlSign),
    encodeBasicConstraints(true, 0),
    encodePermittedDomains([
      ...(['server', 'client'] as const).map((role) => agentName(role, datacenter, domain)),
      'localhost',
    ]),
  ]);
}
