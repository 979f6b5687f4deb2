import type { CaRoot, CaRoots } from '../../src/model/ca.ts';

export const TRUST_DOMAIN = '11111111-2222-3333-4444-555555555555.consul';

/** A roots answer whose certificates are only names. */
export function makeRoots(active: string, ...others: string[]): CaRoots {
  const root = (ID: string): CaRoot => ({
    ID,
    Name: 'test',
    SerialNumber: 1,
    SigningKeyID: 'aa',
    ExternalTrustDomain: TRUST_DOMAIN.slice(0, 36),
    NotBefore: '2026-01-01T00:00:00Z',
    NotAfter: '2036-01-01T00:00:00Z',
    RootCert: `-----${ID}-----\n`,
    IntermediateCerts: null,
    Active: ID === active,
    PrivateKeyType: 'ec',
    PrivateKeyBits: 256,
    CreateIndex: 1,
    ModifyIndex: 1,
  });
  return { ActiveRootID: active, TrustDomain: TRUST_DOMAIN, Roots: [active, ...others].map(root) };
}
