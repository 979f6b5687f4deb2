import type { UpstreamStep } from '../../domain/queries/plan.ts';
import type { ResolvedTarget, ResolvedUpstream } from '../../model/upstream.ts';
import type { Mesh } from './mesh.ts';
import { PlanFollower, type PlanFollowerDeps } from './plan-follower.ts';

/** Where an upstream leads, as its configuration says. */
export interface UpstreamPlan {
  /** In the order of preference. */
  readonly steps: readonly UpstreamStep[];
  readonly token: string;
  readonly connectTimeoutMs?: number;
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
      const targets = targetsOf(deps.mesh, follower, now);
      follower.end(now.topics);
      if (targets !== undefined) {
        const { connectTimeoutMs } = now;
        const upstream = { ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }), targets };
        if (sent === undefined || !same(sent, upstream)) {
          sent = upstream;
          yield upstream;
        }
      }
      await follower.changed(signal);
    }
  } finally {
    follower.close();
  }
}

/** Undefined as long as a target that comes before the first healthy one has not answered. */
function targetsOf(mesh: Mesh, follower: PlanFollower, plan: UpstreamPlan): readonly ResolvedTarget[] | undefined {
  const targets: ResolvedTarget[] = [];
  let healthy = false;
  let waiting = false;
  for (const step of plan.steps) {
    const state = follower.step(step, plan.token);
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

/** The same targets with the very same instances. */
function same(a: ResolvedUpstream, b: ResolvedUpstream): boolean {
  return (
    a.connectTimeoutMs === b.connectTimeoutMs &&
    a.targets.length === b.targets.length &&
    a.targets.every(({ id, service, datacenter, reached, known, instances }, n) => {
      const other = b.targets[n];
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
