import type { LeafManager } from '../cache/leaf-manager.ts';
import type { RequireService } from './rights-of.ts';

type Leaves = Pick<LeafManager, 'get'>;

/** Certificates, for those who may write the service that each is for. */
export function guardedLeaves(leaves: Leaves, require: RequireService): Leaves {
  return {
    async get(service, options) {
      await require(service, options);
      const answer = await leaves.get(service, options);
      if (options.index !== undefined) await require(service, options); // it may have waited long
      return answer;
    },
  };
}
