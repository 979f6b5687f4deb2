/** Consul's network coordinate: the distance of two is the round-trip time between them, in seconds. */
export interface Coordinate {
  readonly Vec: readonly number[];
  readonly Error: number;
  readonly Adjustment: number;
  readonly Height: number;
}

export const DIMENSIONS = 8;
const HEIGHT = 1e-5;
/** Consul's error of a coordinate without measurements, and one of a coordinate with many. */
const UNKNOWN_ERROR = 1.5;
const MEASURED_ERROR = 0.1;

/** Of a node that has not measured anything, and of the place that measures. */
export const ORIGIN_COORDINATE: Coordinate = {
  Vec: new Array<number>(DIMENSIONS).fill(0),
  Error: UNKNOWN_ERROR,
  Adjustment: 0,
  Height: HEIGHT,
};

/**
 * A coordinate whose distance from the origin is a measured time. Different axes keep two nodes that are near to us
 * from looking near to each other: that was not measured, and is shown as the way past the origin's corner.
 */
export function coordinateAt(rttMs: number, axis: number): Coordinate {
  const Vec = new Array<number>(DIMENSIONS).fill(0);
  Vec[axis % DIMENSIONS] = Math.max(0, rttMs / 1_000 - 2 * HEIGHT);
  return { Vec, Error: MEASURED_ERROR, Adjustment: 0, Height: HEIGHT };
}

/** False for a coordinate that was not measured, which looks like the origin. */
export function isMeasured(coordinate: Coordinate): boolean {
  return coordinate.Error < UNKNOWN_ERROR;
}

/** Estimated round-trip time in seconds. */
export function distance(a: Coordinate, b: Coordinate): number {
  const straight = Math.hypot(...a.Vec.map((value, axis) => value - (b.Vec[axis] ?? 0)));
  const raw = straight + a.Height + b.Height;
  const adjusted = raw + a.Adjustment + b.Adjustment;
  return adjusted > 0 ? adjusted : raw;
}

/** Where a node is. */
export interface NodeCoordinate {
  readonly Node: string;
  readonly Segment: string;
  readonly Coord: Coordinate;
}

export interface DatacenterCoordinates {
  readonly Datacenter: string;
  readonly AreaID: string;
  readonly Coordinates: readonly NodeCoordinate[];
}

/** What is reported of a node by whoever measured it. */
export interface CoordinateUpdate {
  readonly Datacenter?: string;
  readonly Node?: string;
  readonly Segment?: string;
  readonly Coord?: Partial<Coordinate>;
}
