import type { SidecarMeters } from '../meters.ts';
import type { Direction } from '../refusals.ts';

/** Counts requests by how they ended. */
export class RequestMeter {
  /** @param status 0: none was sent */
  readonly onDone: (status: number) => void;
  readonly onRetry: () => void;

  constructor(meters: SidecarMeters, direction: Direction) {
    this.onDone = (status) => {
      meters.requests.add(1, { direction, status: status === 0 ? 'none' : `${Math.floor(status / 100)}xx` });
    };
    this.onRetry = () => meters.requestRetries.add(1, { direction });
  }
}
