/** What `isthmus federation map` shows. */
export interface FederationMap {
  readonly Datacenters: readonly {
    readonly Datacenter: string;
    /** Its servers could be asked. */
    readonly Reached: boolean;
    /** Milliseconds to other datacenters, as its servers measured them. */
    readonly RttMs: Readonly<Record<string, number>>;
  }[];
}

interface Point {
  readonly x: number;
  readonly y: number;
}

const SIZE = 640;
const RING = 220;
const RADIUS = 44;
/** Widest line: of the nearest pair. */
const MAX_WIDTH = 8;

/** Datacenters on a ring, the nearer two are the thicker the line between them. */
export function drawMap({ Datacenters }: FederationMap): string {
  const names = Datacenters.map(({ Datacenter }) => Datacenter);
  const at = new Map(names.map((name, index) => [name, onRing(index, names.length)]));
  const reached = new Map(Datacenters.map(({ Datacenter, Reached }) => [Datacenter, Reached]));
  const pairs = names.flatMap((from, index) =>
    names.slice(index + 1).map((to) => ({ from, to, ms: between(from, to) })),
  );
  const nearest = Math.min(...pairs.flatMap(({ ms }) => (ms === undefined ? [] : [ms])));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE} ${SIZE}" font-family="sans-serif" font-size="16" ` +
      `text-anchor="middle">`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    ...pairs.map(({ from, to, ms }) => line(at.get(from) as Point, at.get(to) as Point, ms, nearest)),
    ...names.map((name) => circle(name, at.get(name) as Point, reached.get(name) === true)),
    '</svg>',
  ].join('\n');

  /** As either of them measured it. */
  function between(from: string, to: string): number | undefined {
    const seen = (one: string, other: string): number | undefined =>
      Datacenters.find(({ Datacenter }) => Datacenter === one)?.RttMs[other];
    return seen(from, to) ?? seen(to, from);
  }
}

function onRing(index: number, count: number): Point {
  const angle = (2 * Math.PI * index) / Math.max(1, count) - Math.PI / 2;
  const ring = count < 2 ? 0 : RING;
  return { x: Math.round(SIZE / 2 + ring * Math.cos(angle)), y: Math.round(SIZE / 2 + ring * Math.sin(angle)) };
}

function line(from: Point, to: Point, ms: number | undefined, nearest: number): string {
  const ends = `x1="${from.x}" y1="${from.y}" x2="${to.x}" y2="${to.y}"`;
  if (ms === undefined) return `<line ${ends} stroke="#b0b0b0" stroke-dasharray="6 6"/>`;
  const width = Math.max(1, MAX_WIDTH * Math.sqrt(nearest / Math.max(ms, nearest))).toFixed(1);
  const middle = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
  const label = `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`;
  return [
    `<line ${ends} stroke="#2f6fab" stroke-width="${width}"/>`,
    `<rect x="${middle.x - 40}" y="${middle.y - 12}" width="80" height="24" rx="4" fill="#ffffff"/>`,
    `<text x="${middle.x}" y="${middle.y + 5}" fill="#2f6fab">${label}</text>`,
  ].join('\n');
}

function circle(name: string, { x, y }: Point, reached: boolean): string {
  const look = reached ? 'fill="#e8f1f9" stroke="#2f6fab"' : 'fill="#f6e3e3" stroke="#b03030" stroke-dasharray="6 6"';
  const text = `<text x="${x}" y="${y + 5}">${escaped(name)}</text>`;
  const note = reached ? '' : `\n<text x="${x}" y="${y + RADIUS + 20}" fill="#b03030">not reached</text>`;
  return `<circle cx="${x}" cy="${y}" r="${RADIUS}" stroke-width="2" ${look}/>\n${text}${note}`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
