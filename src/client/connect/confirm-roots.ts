import { ChangeSignal } from '../../lib/change-signal.ts';
import type { Clock } from '../../lib/clock.ts';
import { hasCode } from '../../lib/errors.ts';
import { newUuid } from '../../lib/ids.ts';
import { sleep } from '../../lib/signals.ts';
import type { TaskGroup } from '../../lib/task.ts';
import { createSidecarSource } from '../sidecar-source.ts';
import type { Transport } from '../transport.ts';
import { BACKOFF } from './follow.ts';
import type { Identity } from './identity.ts';

export interface ConfirmRootsDeps {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly tasks: TaskGroup;
  readonly service: string;
  readonly identity: Pick<Identity, 'rootIds' | 'onChange'>;
}

/** An agent that knows of no confirmations is asked again after this long, milliseconds. */
const UNKNOWN_PAUSE_MS = 60_000;

/**
 * Makes the agent count this application as a holder of roots, as it does a sidecar: by the stream of a sidecar, of
 * which it acknowledges the roots once it verifies with them. A rotation of the root waits for that.
 */
export function confirmRoots({ transport, clock, tasks, service, identity }: ConfirmRootsDeps): void {
  const target = { kind: 'standalone', service, upstreams: [], instance: newUuid() } as const;
  const source = createSidecarSource({ transport, clock }, target);
  const changed = new ChangeSignal();
  /** The newest roots of the present stream that are not acknowledged. */
  let due: { readonly version: number; readonly ids: readonly string[] } | undefined;
  identity.onChange(() => changed.notify());

  tasks.loop('roots to confirm', { backoff: BACKOFF }, async (signal, progress) => {
    try {
      for await (const { version, roots } of source.updates(signal)) {
        progress();
        if (roots === undefined) continue;
        due = { version, ids: roots.roots.map(({ id }) => id) };
        changed.notify();
      }
    } catch (error) {
      if (!hasCode(error, 'not_found')) throw error;
      await sleep(clock, UNKNOWN_PAUSE_MS, signal);
    } finally {
      due = undefined; // the next stream begins with everything
    }
  });
  tasks.loop('confirmation of roots', { backoff: BACKOFF }, async (signal) => {
    const now = due;
    if (now === undefined || !now.ids.every((id) => identity.rootIds.includes(id))) return await changed.next(signal);
    await source.acknowledge(now.version, signal);
    if (due === now) due = undefined;
  });
}
