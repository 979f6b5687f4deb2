import type { ProxyFeed } from '../../agent/proxycfg/proxy-configs.ts';
import type { ProxySnapshot } from '../../agent/proxycfg/snapshot.ts';
import type { UpstreamState } from '../../agent/proxycfg/upstream-resolver.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { CaRoots, LeafCert } from '../../model/ca.ts';
import { rateLimits } from '../../model/layer7/rate-limits.ts';
import type {
  SidecarEndpoint,
  SidecarInbound,
  SidecarLeaf,
  SidecarRequests,
  SidecarRoots,
  SidecarUpdate,
} from '../../model/sidecar.ts';

/** Versions whose roots are remembered until they are acknowledged. */
const MAX_UNACKNOWLEDGED = 256;

/** The wire of one built-in sidecar: everything first, then only what changed, each with a version to acknowledge. */
export class SidecarWire {
  readonly #feed: ProxyFeed;
  readonly #rootsSent: { readonly version: number; readonly ids: readonly string[] }[] = [];
  #version = 0;
  #serving = false;
  /** What was sent last. */
  #sent: ProxySnapshot | undefined;

  constructor(feed: ProxyFeed) {
    this.#feed = feed;
  }

  /** To be read once. Ends with an error when the proxy can't be followed any longer. */
  async *updates(): AsyncGenerator<SidecarUpdate, void, void> {
    for await (const snapshot of this.#feed.snapshots) {
      if (snapshot.kind !== 'connect-proxy')
        throw new IsthmusError('rejected', `a ${snapshot.kind as string} is no sidecar: run an Envoy for it`);
      const update = this.#update(snapshot);
      if (update !== undefined) yield update;
    }
  }

  /** Everything up to `version` is in effect in the sidecar. */
  acknowledge(version: number): void {
    let newest: readonly string[] | undefined;
    while (this.#rootsSent[0] !== undefined && this.#rootsSent[0].version <= version)
      newest = this.#rootsSent.shift()?.ids;
    if (newest !== undefined) this.#feed.holds(newest);
    if (!this.#serving) this.#feed.serves();
    this.#serving = true;
  }

  #update(snapshot: ProxySnapshot): SidecarUpdate | undefined {
    const before = this.#sent;
    const parts: Omit<SidecarUpdate, 'version'> = {
      ...(snapshot.config === before?.config ? {} : { config: snapshot.config }),
      ...(snapshot.roots === before?.roots ? {} : { roots: sidecarRoots(snapshot.roots) }),
      ...(snapshot.leaf === before?.leaf ? {} : { leaf: sidecarLeaf(snapshot.leaf) }),
      ...(snapshot.verdicts === before?.verdicts ? {} : { verdicts: snapshot.verdicts }),
      ...refusedPart(snapshot.refused, before?.refused),
      ...(snapshot.protocol === before?.protocol &&
      snapshot.entries.mesh === before.entries.mesh &&
      snapshot.entries.service === before.entries.service
        ? {}
        : { inbound: inboundPart(snapshot) }),
      ...upstreamParts(snapshot.upstreams, before?.upstreams),
    };
    this.#sent = snapshot;
    if (Object.keys(parts).length === 0) return undefined;
    this.#version += 1;
    if (parts.roots !== undefined) {
      this.#rootsSent.push({ version: this.#version, ids: parts.roots.roots.map(({ id }) => id) });
      if (this.#rootsSent.length > MAX_UNACKNOWLEDGED) this.#rootsSent.shift();
    }
    return { version: this.#version, ...parts };
  }
}

function inboundPart({ protocol, entries }: ProxySnapshot): SidecarInbound {
  const limits = rateLimits(entries.service);
  const none = limits.perSecond === 0 && limits.routes.length === 0;
  return { protocol, mesh: entries.mesh, ...(none ? {} : { limits }) };
}

/** Absent when there is nothing new; the first update has it only when something is refused. */
function refusedPart(
  now: ProxySnapshot['refused'],
  before: ProxySnapshot['refused'] | undefined,
): Pick<SidecarUpdate, 'refused'> {
  if (now === before || (before === undefined && now.size === 0)) return {};
  return { refused: [...new Set([...now.values()].flat())].sort() };
}

/**
 * Endpoints, requests and problems of the upstreams that changed; the first update has endpoints even when there are
 * none.
 */
function upstreamParts(
  now: ReadonlyMap<string, UpstreamState>,
  before: ReadonlyMap<string, UpstreamState> | undefined,
): Pick<SidecarUpdate, 'endpoints' | 'requests' | 'problems'> {
  if (now === before) return {};
  const endpoints: Record<string, readonly SidecarEndpoint[]> = {};
  const requests: Record<string, SidecarRequests | null> = {};
  const problems: Record<string, string> = {};
  for (const [key, state] of now) {
    const last = before?.get(key);
    if (state.endpoints !== undefined && state.endpoints !== last?.endpoints) endpoints[key] = state.endpoints;
    if (state.requests !== last?.requests) requests[key] = state.requests ?? null;
    if (state.problem !== (last?.problem ?? '')) problems[key] = state.problem;
  }
  return {
    ...(before === undefined || Object.keys(endpoints).length > 0 ? { endpoints } : {}),
    ...(Object.keys(requests).length > 0 ? { requests } : {}),
    ...(Object.keys(problems).length > 0 ? { problems } : {}),
  };
}

function sidecarRoots(roots: CaRoots): SidecarRoots {
  return {
    trustDomain: roots.TrustDomain,
    activeRootId: roots.ActiveRootID,
    roots: roots.Roots.map((root) => ({ id: root.ID, pem: root.RootCert })),
  };
}

function sidecarLeaf(leaf: LeafCert): SidecarLeaf {
  return {
    certPem: leaf.CertPEM,
    keyPem: leaf.PrivateKeyPEM,
    uri: leaf.ServiceURI,
    validAfter: leaf.ValidAfter,
    validBefore: leaf.ValidBefore,
  };
}
