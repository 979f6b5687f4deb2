import type { Clock } from './clock.ts';
import { IsthmusError } from './errors.ts';
import { abortable, withDeadline } from './signals.ts';

/** A part of the process with a life: started in order, stopped in reverse order. */
export interface Service {
  readonly name: string;
  /** Resolves once the service works. `signal` aborts when the start is given up. */
  start(signal: AbortSignal): Promise<void>;
  /** Resolves once nothing of it runs any more. */
  stop(): Promise<void>;
}

export interface ServiceGroup {
  /** Starts all in order; when one fails, those already started are stopped and the error is thrown. */
  start(signal: AbortSignal): Promise<void>;
  /** Stops all in reverse order, each within `deadlineMs`; failures are collected and thrown together at the end. */
  stop(deadlineMs: number): Promise<void>;
}

export function createServiceGroup(services: readonly Service[], clock: Clock): ServiceGroup {
  const running: Service[] = [];

  const stop = async (deadlineMs: number): Promise<void> => {
    const failures: string[] = [];
    for (let service = running.pop(); service !== undefined; service = running.pop()) {
      const limit = withDeadline(clock, deadlineMs, `stopping ${service.name}`);
      try {
        await abortable(service.stop(), limit.signal);
      } catch (error) {
        failures.push(`${service.name}: ${IsthmusError.from(error).message}`);
      } finally {
        limit.release();
      }
    }
    if (failures.length > 0) throw new IsthmusError('internal', `not stopped cleanly: ${failures.join('; ')}`);
  };

  return {
    async start(signal) {
      for (const service of services) {
        try {
          await service.start(signal);
        } catch (error) {
          await stop(5_000).catch(() => undefined); // the start error is the one worth telling
          const cause = IsthmusError.from(error);
          throw new IsthmusError(cause.code, `${service.name} did not start: ${cause.message}`, { cause });
        }
        running.push(service);
      }
    },
    stop,
  };
}
