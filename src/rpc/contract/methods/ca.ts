import type {
  CaConfiguration,
  CaRoots,
  DatacenterRotation,
  HolderReport,
  IssuedCert,
  RotationStatus,
} from '../../../model/ca.ts';
import type { CaStatus } from '../../../model/requests.ts';
import { tryParseSpiffe } from '../../../model/spiffe.ts';
import { type NoArgs, OWN_DATA, read, write } from './method.ts';
import { OPEN, readNeeds, replicates, textOf, writeNeeds } from './rights.ts';
import { EVERYONE, OPERATORS, SERVERS, THIS_DATACENTER } from './roles.ts';

export const caReads = {
  'ca.roots': read<NoArgs, CaRoots>({ ...OWN_DATA, needs: {}, callers: EVERYONE, rights: OPEN }),
  'ca.config': read<NoArgs, CaConfiguration>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: { allow: (rights) => rights.replication || rights.may('operator', '', 'read') },
  }),
  'ca.rotation': read<NoArgs, RotationStatus>({
    ...OWN_DATA,
    answered: 'primary',
    needs: {},
    callers: EVERYONE,
    rights: readNeeds('operator', 'read'),
  }),
  /** The CA's own condition: state, expiry of root and intermediate in seconds, last renewal error. */
  'ca.status': read<NoArgs, CaStatus>({
    ...OWN_DATA,
    needs: {},
    callers: EVERYONE,
    rights: readNeeds('operator', 'read'),
  }),
};

/** Secondaries hear of a new configuration or root by watching it: nothing of it is among the tables that they copy. */
const IN_PRIMARY = { decided: 'primary', leader: true, repeatable: false, arrivesIn: undefined } as const;
const HERE = { decided: 'here', leader: false, arrivesIn: undefined } as const;

export const caWrites = {
  'ca.setConfig': write<{ readonly config: unknown }, null>({
    ...IN_PRIMARY,
    needs: {},
    audit: [],
    callers: OPERATORS,
    rights: writeNeeds('operator', 'write'),
  }),
  /** Starts a rotation to a new root key made by the provider. */
  'ca.rotate': write<{ readonly force?: boolean }, { readonly NewRootID: string }>({
    ...IN_PRIMARY,
    needs: {},
    audit: [],
    callers: { ...EVERYONE, client: 'byToken' },
    rights: writeNeeds('operator', 'write'),
  }),
  /**
   * Signs a leaf for the service named in the CSR's SPIFFE URI, in this datacenter. `expires` is when the certificate
   * that it replaces ends, milliseconds since the epoch (absent: there is none): above the limit, the least goes first.
   */
  'ca.signLeaf': write<{ readonly csr: string; readonly expires?: number }, IssuedCert>({
    ...HERE,
    needs: { csr: 'text' },
    repeatable: true,
    audit: 'never',
    callers: THIS_DATACENTER,
    rights: (rights, { csr }, facts) => {
      const uri = facts.csrUri(csr);
      const id = uri === undefined ? undefined : tryParseSpiffe(uri);
      return id?.kind === 'service' && rights.may('service', id.service, 'write');
    },
  }),
  /** Primary only, called by secondaries: signs a CA certificate for a datacenter. */
  'ca.signIntermediate': write<
    { readonly csr: string; readonly datacenter: string },
    { readonly certPem: string; readonly rootId: string }
  >({
    ...HERE,
    leader: true,
    needs: { csr: 'text', datacenter: 'text' },
    repeatable: false,
    audit: ['datacenter'],
    callers: SERVERS,
    speaksFor: 'datacenter',
    rights: replicates,
  }),
  /** An agent reports which roots its verifiers hold and which leaves are live. */
  'ca.reportHolder': write<HolderReport, null>({
    ...HERE,
    needs: { Holder: 'text' },
    repeatable: true,
    audit: 'never',
    callers: THIS_DATACENTER,
    rights: (rights, report) => rights.may('node', textOf(report, 'holder'), 'write'),
  }),
  /** A secondary reports to the primary how far its datacenter is in a rotation. */
  'ca.reportDatacenter': write<DatacenterRotation, null>({
    ...HERE,
    needs: { Datacenter: 'text', ActiveRootID: 'text', ReportedAt: 'text' },
    repeatable: false,
    audit: 'never',
    callers: SERVERS,
    speaksFor: 'Datacenter',
    rights: replicates,
  }),
};
