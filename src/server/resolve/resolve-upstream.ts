import type { UpstreamStep } from '../../domain/queries/plan.ts';
import type { DiscoveryChain } from '../../model/discovery-chain.ts';
import type { ResolvedTarget, ResolvedUpstream } from '../../model/upstream.ts';
import type { Mesh } from './mesh.ts';
import { PlanFollower, type PlanFollowerDeps } from './plan-follower.ts';

/** Where an upstream leads, as its configuration says. */
export interface UpstreamPlan {
  /** In the order of preference. */
  readonly steps: readonly UpstreamStep[];
  readonly token: string;
  readonly connectTimeoutMs?: number;
  /** Where its requests lead, when they are routed one by one. */
  readonly requests?: {
    readonly chain: DiscoveryChain;
    /** One for each target of the chain. */
    readonly steps: readonly UpstreamStep[];
  };
  /** Touched when the plan may have changed. */
  readonly topics: readonly string[];
}

export interface UpstreamDeps extends PlanFollowerDeps {
  readonly mesh: Mesh;
}

/**
 * All targets of an upstream with their instances, now and after every change. A sidecar finds out by itself what can't
 * be reached at this moment, so it gets every target that it may go to.
 */
export async function* resolveUpstream(
  deps: UpstreamDeps,
  plan: () => UpstreamPlan,
  signal: AbortSignal,
): AsyncGenerator<ResolvedUpstream, never, void> {
  const follower = new PlanFollower(deps);
  let sent: ResolvedUpstream | undefined;
  try {
    for (;;) {
      follower.begin();
      const now = plan();
      const upstream = upstreamOf(deps.mesh, follower, now);
      follower.end(now.topics);
      if (upstream !== undefined && (sent === undefined || !same(sent, upstream))) {
        sent = upstream;
        yield upstream;
      }
      await follower.changed(signal);
    }
  } finally {
    follower.close();
  }
}

/** Undefined as long as something that is needed to begin with has not answered. */
function upstreamOf(mesh: Mesh, follower: PlanFollower, plan: UpstreamPlan): ResolvedUpstream | undefined {
  const { connectTimeoutMs, requests, token } = plan;
  const targets = targetsOf(mesh, follower, plan.steps, token);
  const timeout = connectTimeoutMs === undefined ? {} : { connectTimeoutMs };
  if (requests === undefined) return targets && { ...timeout, targets };
  const byId = new Map(requests.steps.map((step) => [step.id, step]));
  const found = new Map<string, ResolvedTarget>();
  let waiting = targets === undefined;
  for (const ids of preferencesOf(requests.chain)) {
    const steps = ids.flatMap((id) => byId.get(id) ?? []);
    const answered = targetsOf(mesh, follower, steps, token);
    if (answered === undefined) waiting = true;
    for (const target of answered ?? []) found.set(target.id, target);
  }
  if (waiting || targets === undefined) return undefined;
  for (const { id } of targets) found.delete(id);
  return { ...timeout, targets, requests: { chain: requests.chain, others: [...found.values()] } };
}

/** What each resolver of a chain leads to, in the order of preference. */
function preferencesOf({ Nodes }: DiscoveryChain): readonly (readonly string[])[] {
  return Object.values(Nodes).flatMap((node) =>
    node.Type === 'resolver' ? [[node.Resolver.Target, ...(node.Resolver.Failover?.Targets ?? [])]] : [],
  );
}

/** Undefined as long as a target that comes before the first healthy one has not answered. */
function targetsOf(
  mesh: Mesh,
  follower: PlanFollower,
  steps: readonly UpstreamStep[],
  token: string,
): readonly ResolvedTarget[] | undefined {
  const targets: ResolvedTarget[] = [];
  let healthy = false;
  let waiting = false;
  for (const step of steps) {
    const state = follower.step(step, token);
    const reached = mesh.reaches(step.datacenter) && state.current;
    if (!reached && mesh.reaches(step.datacenter) && !state.late) {
      if (!healthy) waiting = true;
      continue;
    }
    const { instances = [] } = state;
    const known = state.instances !== undefined;
    if (reached && instances.length > 0) healthy = true;
    const { id, datacenter, selection } = step;
    targets.push({ id, service: selection.service, datacenter, reached, known, instances });
  }
  return waiting ? undefined : targets;
}

/** The same chain and targets with the very same instances. */
function same(a: ResolvedUpstream, b: ResolvedUpstream): boolean {
  return (
    a.connectTimeoutMs === b.connectTimeoutMs &&
    a.requests?.chain === b.requests?.chain &&
    sameTargets(a.targets, b.targets) &&
    sameTargets(a.requests?.others ?? [], b.requests?.others ?? [])
  );
}

function sameTargets(a: readonly ResolvedTarget[], b: readonly ResolvedTarget[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ id, service, datacenter, reached, known, instances }, n) => {
      const other = b[n];
      return (
        id === other?.id &&
        service === other.service &&
        datacenter === other.datacenter &&
        reached === other.reached &&
        known === other.known &&
        instances === other.instances
      );
    })
  );
}
