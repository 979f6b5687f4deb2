import { arch, cpus, platform } from 'node:os';
import { debugConfig } from '../../config/debug-config.ts';
import type { LoadedConfig } from '../../config/types.ts';
import type { XdsAddress } from '../../edge/xds/listener.ts';
import { ORIGIN_COORDINATE } from '../../model/coordinate.ts';
import type { Member } from '../../model/member.ts';
import { NEWEST_OF, SUPPORTED_ENVOYS } from '../../model/supported-envoys.ts';
import { COMPATIBLE_VERSION, VERSION } from '../../model/version.ts';
import type { CertificateExpiry } from '../security/certificates.ts';
import { nodeMeta } from './self.ts';

export interface SelfFacts {
  readonly loaded: LoadedConfig;
  readonly nodeId: string;
  readonly member: Member;
  readonly counts: { readonly services: number; readonly checks: number; readonly ttls: number };
  readonly stats: Readonly<Record<string, unknown>>;
  readonly certificates: readonly CertificateExpiry[];
  /** Where Envoys reach it. */
  readonly xds: readonly XdsAddress[];
}

/** Consul names processors as Go does. */
const GO_ARCH: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** The answer of /v1/agent/self. Statistics of consensus and gossip, which don't exist here, are left out. */
export function agentSelf(facts: SelfFacts): unknown {
  const { loaded } = facts;
  const { config } = loaded;
  return {
    Config: {
      Datacenter: config.datacenter,
      NodeName: config.nodeName,
      NodeID: facts.nodeId,
      Revision: '',
      Server: config.server,
      Version: COMPATIBLE_VERSION,
      IsthmusVersion: VERSION,
    },
    DebugConfig: debugConfig(loaded),
    Coord: ORIGIN_COORDINATE,
    Member: facts.member,
    Stats: {
      agent: {
        check_monitors: String(facts.counts.checks - facts.counts.ttls),
        check_ttls: String(facts.counts.ttls),
        checks: String(facts.counts.checks),
        services: String(facts.counts.services),
      },
      build: { prerelease: '', revision: '', version: COMPATIBLE_VERSION },
      ...facts.stats,
      runtime: {
        arch: GO_ARCH[arch()] ?? arch(),
        cpu_count: String(cpus().length),
        os: platform(),
        version: process.version,
      },
      ...tlsStats(facts.certificates),
    },
    Meta: nodeMeta(config),
    xDS: xdsOf(facts.xds),
  };
}

/** As in Consul, -1 is a port that is off; `Port` is that of TLS, else the other one. */
function xdsOf(addresses: readonly XdsAddress[]): unknown {
  const port = (name: XdsAddress['name']): number =>
    addresses.find((each) => each.name === name && each.port > 0)?.port ?? -1;
  const [plain, tls] = [port('grpc'), port('grpc_tls')];
  return {
    SupportedProxies: { envoy: SUPPORTED_ENVOYS.map((minor) => NEWEST_OF[minor]) },
    Port: tls > 0 ? tls : plain,
    Ports: { Plaintext: plain, TLS: tls },
  };
}

/** Which certificates this agent has and until when; absent without any. */
function tlsStats(certificates: readonly CertificateExpiry[]): { readonly tls?: Readonly<Record<string, string>> } {
  if (certificates.length === 0) return {};
  const rows = certificates.flatMap(({ use, names, notAfter }) => [
    [`${use}_names`, names],
    [`${use}_expires`, new Date(notAfter).toISOString()],
  ]);
  return { tls: Object.fromEntries(rows) };
}
