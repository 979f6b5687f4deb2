/**
 * Circles among files that import each other, types included: whoever reads one of them has to read them all.
 * @param {ReadonlyMap<string, readonly string[]>} imports each file to the files that it imports
 * @returns {string[][]} each circle's files, sorted
 */
export function circlesOf(imports) {
  /** @type {Map<string, { index: number, low: number, open: boolean }>} */
  const seen = new Map();
  /** @type {string[]} */
  const stack = [];
  /** @type {string[][]} */
  const circles = [];
  /** Tarjan's: files that reach each other. @param {string} file */
  const visit = (file) => {
    const own = { index: seen.size, low: seen.size, open: true };
    seen.set(file, own);
    stack.push(file);
    for (const target of imports.get(file) ?? []) {
      if (!imports.has(target)) continue;
      const known = seen.get(target) ?? visit(target);
      if (known.open) own.low = Math.min(own.low, known.low);
    }
    if (own.low === own.index) {
      const circle = stack.splice(stack.indexOf(file));
      for (const member of circle) /** @type {{ open: boolean }} */ (seen.get(member)).open = false;
      if (circle.length > 1) circles.push(circle.sort());
    }
    return own;
  };
  for (const file of imports.keys()) if (!seen.has(file)) visit(file);
  return circles;
}
