/** GET /v1/internal/autonomy */

/** One thing that a datacenter has from others, and how long it lasts without them. */
export interface AutonomyLimit {
  /** root, intermediate, tokens or rules. */
  readonly Name: string;
  /** Seconds until it ends; null: it does not end by itself. */
  readonly Seconds: number | null;
  /** What happens then, or why nothing does. */
  readonly About: string;
}

/** How long a datacenter can run alone, if it were cut off from all others now. */
export interface Autonomy {
  readonly Datacenter: string;
  readonly Primary: boolean;
  /** Seconds until the first limit; null: none is known. */
  readonly Seconds: number | null;
  /** ISO 8601; '' when it does not end. */
  readonly EndsAt: string;
  /** Name of the first limit; '' when there is none. */
  readonly LimitedBy: string;
  readonly Limits: readonly AutonomyLimit[];
}
