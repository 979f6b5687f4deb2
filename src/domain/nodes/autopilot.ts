import { type AutopilotConfig, type AutopilotConfigInput, DEFAULT_AUTOPILOT } from '../../model/autopilot.ts';
import type { Read } from '../../store/read.ts';
import type { Store } from '../../store/store.ts';

type Kept = Omit<AutopilotConfig, 'CreateIndex' | 'ModifyIndex'>;

export interface Autopilot {
  readonly reads: { readonly 'operator.autopilotConfiguration': Read<Record<never, never>, AutopilotConfig> };
  /** True when it was written. */
  set(args: { readonly config: AutopilotConfigInput; readonly cas?: number }): Promise<boolean>;
}

const KEY = 'config';
/** Of a configuration that no one has written: clients compare and set by an index that is none of an empty answer. */
const UNWRITTEN = 1;

/** Keeps what clients say to Consul's autopilot. Before the store is started. */
export function createAutopilot(store: Store): Autopilot {
  const table = store.table<Kept>({ name: 'autopilot', key: () => KEY });
  return {
    reads: {
      'operator.autopilotConfiguration': {
        topics: () => ['autopilot'],
        produce() {
          const row = table.get(KEY);
          return {
            ...DEFAULT_AUTOPILOT,
            ...row?.value,
            CreateIndex: row?.createRevision ?? UNWRITTEN,
            ModifyIndex: row?.modRevision ?? UNWRITTEN,
          };
        },
      },
    },
    async set({ config, cas }) {
      const { result } = await store.transact((tx) => {
        if (cas !== undefined && cas !== (tx.row(table, KEY)?.modRevision ?? UNWRITTEN)) return false;
        tx.put(table, { ...DEFAULT_AUTOPILOT, ...config });
        return true;
      });
      return result;
    },
  };
}
