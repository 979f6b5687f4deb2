import type { Clock } from './clock.ts';
import { IsthmusError } from './errors.ts';
import { abortable, linkSignals, throwIfAborted, withDeadline } from './signals.ts';

/** A part of the process with a life: started in order, stopped in reverse order. */
export interface Service {
  readonly name: string;
  /** Resolves once the service works. `signal` aborts when the start is given up. */
  start(signal: AbortSignal): Promise<void>;
  /** Resolves once nothing of it runs any more. */
  stop(): Promise<void>;
  /** Where it can end by itself: calls `listener` with the cause when that happens. */
  onFailure?(listener: (cause: IsthmusError) => void): void;
}

export interface ServiceGroup {
  /** Starts all in order; when one fails, those already started are stopped and the error is thrown. */
  start(signal: AbortSignal): Promise<void>;
  /** Stops all in reverse order, each within `deadlineMs`; failures are collected and thrown together at the end. */
  stop(deadlineMs: number): Promise<void>;
}

/** @param onFailure called once, with the cause, when a part ends that was not stopped: the others still run */
export function createServiceGroup(
  services: readonly Service[],
  clock: Clock,
  onFailure: (cause: IsthmusError) => void = () => undefined,
): ServiceGroup {
  const running: Service[] = [];
  const starting = new AbortController();
  let ended = false;
  for (const service of services)
    service.onFailure?.((cause) => {
      if (ended) return;
      ended = true;
      const failure = new IsthmusError(cause.code, `${service.name}: ${cause.message}`, { cause });
      starting.abort(failure);
      onFailure(failure);
    });

  const stop = async (deadlineMs: number): Promise<void> => {
    ended = true;
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

  const startAll = async (signal: AbortSignal): Promise<void> => {
    for (const service of services) {
      try {
        throwIfAborted(starting.signal);
        await service.start(signal);
      } catch (error) {
        await stop(5_000).catch(() => undefined); // the start error is the one worth telling
        const cause = IsthmusError.from(error);
        throw new IsthmusError(cause.code, `${service.name} did not start: ${cause.message}`, { cause });
      }
      running.push(service);
    }
  };

  return {
    async start(signal) {
      const life = linkSignals(signal, starting.signal);
      try {
        await startAll(life.signal);
      } finally {
        life.release();
      }
    },
    stop,
  };
}
