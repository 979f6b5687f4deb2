import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:tls';
import type { LeafCert } from '../../src/model/ca.ts';
import { type AgentProcess, callAgent } from '../harness/index.ts';

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----\n?/g;

/** The chain of the certificate that an agent holds for a service, the leaf first. */
export async function chainOfLeaf(agent: AgentProcess, service: string): Promise<X509Certificate[]> {
  const leaf = await callAgent<LeafCert>(agent, 'GET', `/v1/agent/connect/ca/leaf/${service}`);
  return certificatesIn(leaf.CertPEM);
}

export function certificatesIn(pem: string): X509Certificate[] {
  return (pem.match(PEM) ?? []).map((text) => new X509Certificate(text));
}

/** What a TLS server at a port of loopback shows, the leaf first. */
export async function presentedChain(port: number): Promise<X509Certificate[]> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: [] });
  // It may be refused right after the handshake, for want of a certificate of its own.
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  const chain: X509Certificate[] = [];
  for (let at = socket.getPeerX509Certificate(); at !== undefined; at = at.issuerCertificate) {
    if (chain.some((known) => known.fingerprint256 === at?.fingerprint256)) break;
    chain.push(at);
  }
  socket.destroy();
  return chain;
}

/** Which of `roots` (PEM) a chain ends in, by signatures; `undefined` when in none. */
export function rootOf(chain: readonly X509Certificate[], roots: readonly string[]): string | undefined {
  const [leaf] = chain;
  if (leaf === undefined) return undefined;
  let current = leaf;
  for (let depth = 0; depth <= chain.length; depth += 1) {
    const root = roots.find((pem) => {
      const candidate = new X509Certificate(pem);
      return current.checkIssued(candidate) && current.verify(candidate.publicKey);
    });
    if (root !== undefined) return root;
    const issuer = chain.find(
      (candidate) => candidate !== current && current.checkIssued(candidate) && current.verify(candidate.publicKey),
    );
    if (issuer === undefined) return undefined;
    current = issuer;
  }
  return undefined;
}
