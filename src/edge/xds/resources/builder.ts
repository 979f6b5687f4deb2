import type { ProxySnapshot } from '../../../agent/proxycfg/snapshot.ts';
import type { Resource } from '../resource.ts';
import type { Report } from './problems.ts';

/**
 * Makes some of the resources of a proxy out of its snapshot: a pure function, whose bytes depend on nothing but its
 * inputs. One file each in this folder, listed in `all.ts`.
 */
export interface ResourceBuilder {
  /**
   * The parts of the snapshot that the resources are made of. While each is the same object (or equal text) as before,
   * they are not made again.
   */
  inputs(snapshot: ProxySnapshot): readonly unknown[];
  build(snapshot: ProxySnapshot, report: Report): readonly Resource[];
}
