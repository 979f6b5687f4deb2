import {
  type Coordinate,
  type CoordinateUpdate,
  coordinateAt,
  DIMENSIONS,
  distance,
  type NodeCoordinate,
  ORIGIN_COORDINATE,
} from '../../model/coordinate.ts';
import type { Read } from '../../store/read.ts';
import type { Tx } from '../../store/store.ts';
import { rejected } from './normalize.ts';
import { type CatalogTables, fold, nodeKey, topic } from './tables.ts';

interface SegmentArgs {
  /** Absent: of every segment. */
  readonly segment?: string;
}

export interface CoordinateReads {
  readonly 'coordinate.nodes': Read<SegmentArgs, readonly NodeCoordinate[]>;
  readonly 'coordinate.node': Read<SegmentArgs & { readonly node: string }, readonly NodeCoordinate[]>;
}

/** A measured time that differs by less than this is not written, milliseconds, and share of what is known. */
const MARGIN_MS = 0.5;
const MARGIN_SHARE = 0.2;
/** Servers register themselves as instances of it. */
const SERVERS = 'consul';

/**
 * Where the nodes of a datacenter are. Nodes are measured from its servers, or tell themselves where they are; the
 * servers are the origin unless one is given.
 */
export function createCoordinates(tables: CatalogTables) {
  const { coordinates, services, nodes } = tables;
  const isServer = (node: string): boolean =>
    services.by('node', fold(node)).some(({ value }) => value.Service === SERVERS);

  const known = (node: string): readonly NodeCoordinate[] =>
    coordinates.by('node', fold(node)).map(({ value }) => value);
  const ofNode = (node: string): readonly NodeCoordinate[] => {
    const own = known(node);
    if (own.length > 0 || !isServer(node)) return own;
    return [{ Node: nodes.get(nodeKey(node))?.value.Node ?? node, Segment: '', Coord: ORIGIN_COORDINATE }];
  };

  const reads: CoordinateReads = {
    'coordinate.nodes': {
      topics: () => ['coordinates', topic.service(SERVERS)],
      produce({ segment }) {
        const servers = services.by('service', SERVERS).map(({ value }) => value.Node);
        const unmeasured = servers.filter((node) => known(node).length === 0).flatMap(ofNode);
        const all = [...coordinates.list().map(({ value }) => value), ...unmeasured];
        return inSegment(all, segment).sort((a, b) => (a.Node < b.Node ? -1 : a.Node > b.Node ? 1 : 0));
      },
    },
    'coordinate.node': {
      topics: ({ node }) => [topic.coordinate(node), topic.service(SERVERS)],
      produce: ({ node, segment }) => inSegment(ofNode(node), segment),
    },
  };

  return {
    reads,
    /** Seconds between two nodes; Infinity when it is not known. */
    distance(from: string, to: string): number {
      const [a, b] = [mainOf(ofNode(from)), mainOf(ofNode(to))];
      return a === undefined || b === undefined || a.Segment !== b.Segment
        ? Number.POSITIVE_INFINITY
        : distance(a.Coord, b.Coord);
    },
    /** What is to be written for a measured distance from the servers; undefined when it is known well enough. */
    measured(node: string, rttMs: number): CoordinateUpdate | undefined {
      if (nodes.get(nodeKey(node)) === undefined) return undefined;
      const before = mainOf(known(node));
      const beforeMs = before === undefined ? undefined : distance(before.Coord, ORIGIN_COORDINATE) * 1_000;
      if (beforeMs !== undefined && Math.abs(rttMs - beforeMs) <= Math.max(MARGIN_MS, MARGIN_SHARE * beforeMs))
        return undefined;
      return { Node: node, Coord: coordinateAt(rttMs, axisOf(node)) };
    },
    /** Of unknown nodes nothing is kept. Throws `rejected` with Consul's texts. */
    update({ Node = '', Segment = '', Coord }: CoordinateUpdate, tx: Tx): void {
      const coordinate = validated(Coord);
      const node = tx.get(nodes, nodeKey(Node));
      if (node !== undefined) tx.put(coordinates, { Node: node.Node, Segment, Coord: coordinate });
    },
  };
}

/** Each node's own: that two are near to the servers does not say that they are near to each other. */
function axisOf(node: string): number {
  let sum = 0;
  for (const char of fold(node)) sum = (sum * 31 + (char.codePointAt(0) as number)) % DIMENSIONS;
  return sum;
}

function validated(given: Partial<Coordinate> | undefined): Coordinate {
  const { Vec = [], Error: error = 0, Adjustment = 0, Height = 0 } = given ?? {};
  if (given === undefined || ![...Vec, error, Adjustment, Height].every(Number.isFinite))
    throw rejected('invalid coordinate');
  if (Vec.length !== DIMENSIONS) throw rejected('incompatible coordinate');
  return { Vec, Error: error, Adjustment, Height };
}

function inSegment(all: readonly NodeCoordinate[], segment: string | undefined): NodeCoordinate[] {
  return all.filter(({ Segment }) => segment === undefined || Segment === segment);
}

/** Who is in one segment only is measured there. */
function mainOf(all: readonly NodeCoordinate[]): NodeCoordinate | undefined {
  return all.length === 1 ? all[0] : all.find(({ Segment }) => Segment === '');
}
