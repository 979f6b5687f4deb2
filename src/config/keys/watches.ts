import { systemClock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { toPlain } from '../../lib/hcl/node.ts';
import { watchHandler } from '../../watch/handlers.ts';
import { type WatchParams, watchPlan } from '../../watch/plan.ts';
import { blocks, type Kind } from './kind.ts';

/** Blocks that each say what is watched and what is run then: what makes no sense is refused with its line. */
export const watches: Kind<readonly WatchParams[]> = {
  label: 'watches',
  read: (nodes, place) =>
    blocks(nodes, place).map((block) => {
      const params = toPlain(block) as WatchParams;
      try {
        watchPlan(params);
        watchHandler(params, { clock: systemClock, env: {}, onOutput: () => undefined });
      } catch (error) {
        place.problems.add(`${place.file}:${block.at.line}: "${place.path}": ${IsthmusError.from(error).message}`);
      }
      return params;
    }),
  merge: (earlier, later) => [...earlier, ...later],
  show: () => '',
};
