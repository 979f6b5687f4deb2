import { connectProxy } from './connect-proxy.ts';
import type { ProxyKind } from './kind.ts';

const KINDS: readonly ProxyKind[] = [connectProxy];

/** The kind of proxy that a registration's `Kind` names; undefined when it is no proxy. */
export function kindOf(kind: string | undefined): ProxyKind | undefined {
  return KINDS.find((each) => each.kind === kind);
}
