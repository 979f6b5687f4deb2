import type { Entries } from '../../domain/entries/entries.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import type { Logger } from '../../telemetry/types.ts';

/**
 * Brings names that an older version left in the store into their canonical form. For the primary only: the others copy
 * its rows. Answers are right before it too, so that a store that can't be written now keeps no agent from its start.
 */
export function canonicalNames(entries: Pick<Entries, 'canonicalise'>, log: Logger): Service {
  return {
    name: 'canonical names',
    async start(signal) {
      try {
        for (const { kind, name, spellings } of await entries.canonicalise(signal))
          log.info('names of a configuration entry brought into one form', { kind, name, was: spellings });
      } catch (thrown) {
        const { message } = IsthmusError.from(thrown);
        log.warn('names of configuration entries stay as an older version wrote them until the next start', {
          error: message,
        });
      }
    },
    stop: async () => undefined,
  };
}
