import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { Registry } from './registry.ts';

/** As Consul: how often it looks, and the shortest time after which it acts. Milliseconds. */
export const REAP_INTERVAL_MS = 30_000;
const MIN_REAP_AFTER_MS = 60_000;

export interface ReaperDeps {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Logger;
  readonly remove: (serviceId: string) => Promise<unknown>;
}

/** Removes services with a check that has been critical for longer than it says that a service may be. */
export async function reapCritical({ registry, clock, log, remove }: ReaperDeps): Promise<void> {
  for (const { form, type, criticalSince } of registry.checks()) {
    const after = type?.DeregisterCriticalServiceAfter ?? 0;
    if (after <= 0 || criticalSince === undefined || form.ServiceID === '') continue;
    if (clock.steady() - criticalSince <= Math.max(after, MIN_REAP_AFTER_MS)) continue;
    log.info('service removed because it was critical for too long', { service: form.ServiceID, check: form.CheckID });
    await remove(form.ServiceID);
  }
}
