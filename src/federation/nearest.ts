/** What is nearer by less than this changes no order, milliseconds, and share of what it goes before. */
const MARGIN_MS = 1;
const MARGIN_SHARE = 0.2;

/**
 * Datacenters by round-trip time. Measurements tremble; the order, which traffic follows, changes only when one becomes
 * clearly nearer than the one before it.
 */
export class Nearest {
  #order: readonly string[] = [];

  get order(): readonly string[] {
    return this.#order;
  }

  /**
   * @param datacenters all that are known; new ones start at the end, in this order
   * @param rtt milliseconds; undefined before the first measurement
   * @returns whether the order is another one now
   */
  update(datacenters: readonly string[], rtt: (datacenter: string) => number | undefined): boolean {
    const known = new Set(datacenters);
    const before = this.#order.filter((datacenter) => known.has(datacenter));
    const order = [...before, ...datacenters.filter((datacenter) => !before.includes(datacenter))];
    const far = new Map(order.map((datacenter) => [datacenter, rtt(datacenter) ?? Number.POSITIVE_INFINITY]));
    for (let end = 1; end < order.length; end += 1)
      for (let at = end; at > 0; at -= 1) {
        const [first, second] = [order[at - 1] as string, order[at] as string];
        if (!isClearlyNearer(far.get(second) as number, far.get(first) as number)) break;
        order[at - 1] = second;
        order[at] = first;
      }
    const changed = order.join() !== this.#order.join();
    this.#order = order;
    return changed;
  }
}

function isClearlyNearer(rtt: number, than: number): boolean {
  if (than === Number.POSITIVE_INFINITY) return rtt < than;
  return than - rtt > Math.max(MARGIN_MS, MARGIN_SHARE * than);
}
