import type { Entries } from '../../domain/entries/entries.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';

/** Writes the entries of `config_entries.bootstrap` that do not exist yet. For the primary only. */
export function bootstrapEntries(entries: Pick<Entries, 'apply'>, wanted: readonly unknown[]): Service {
  return {
    name: 'configuration entries of the configuration',
    start: async () => {
      for (const [index, entry] of wanted.entries()) {
        try {
          await entries.apply({ entry, cas: 0 }); // false: it exists, and whoever changed it meant it
        } catch (thrown) {
          const { code, message } = IsthmusError.from(thrown);
          throw new IsthmusError(code, `config_entries.bootstrap[${index}]: ${message}`, { cause: thrown });
        }
      }
    },
    stop: async () => undefined,
  };
}
