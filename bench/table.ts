import { quantile } from './http-load.ts';
import type { Measured, Results } from './rounds.ts';

/** The results as text: the median of each program's rounds, its range, and what changed against the first program. */
export function table({ measured, failures }: Results, programs: readonly string[]): string {
  const [first = '', ...others] = programs;
  const head = ['what', ...programs.flatMap((name) => [name, 'range']), ...others.map((name) => `to ${name}`), 'goal'];
  const rows = measured.map((of) => [
    of.what,
    ...programs.flatMap((name) => [median(of, name), range(of, name)]),
    ...others.map((name) => change(of, first, name)),
    of.goal,
  ]);
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]?.length ?? 0)));
  const lines = [head, ...rows].map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const failed = failures.map(({ row, program, why }) => `${row} failed with ${program}: ${why}`);
  return `${[...lines, ...failed].join('\n')}\n`;
}

function median({ values, unit }: Measured, program: string): string {
  const of = values.get(program) ?? [];
  return of.length === 0 ? '–' : `${format(quantile(of, 0.5))} ${unit}`.trim();
}

function range({ values }: Measured, program: string): string {
  const of = values.get(program) ?? [];
  return of.length < 2 ? `n=${of.length}` : `${format(Math.min(...of))}–${format(Math.max(...of))} n=${of.length}`;
}

/** How the first program does against another: in percent of the medians, and whether that is more than noise. */
function change(of: Measured, first: string, other: string): string {
  const a = of.values.get(first) ?? [];
  const b = of.values.get(other) ?? [];
  if (a.length === 0 || b.length === 0) return '';
  const ratio = quantile(a, 0.5) / quantile(b, 0.5);
  if (!Number.isFinite(ratio) || ratio <= 0) return ''; // a memory that shrank has no ratio
  const percent = Math.round((ratio - 1) * 100);
  const words = `${ratio.toFixed(2)}×`;
  if (percent === 0) return `${words} same`;
  const better = ratio > 1 === moreIsBetter(of.unit);
  const apart = Math.min(...a) > Math.max(...b) || Math.max(...a) < Math.min(...b);
  return `${words} ${better ? 'better' : 'worse'}${apart ? '' : ' (ranges overlap)'}`;
}

/** Rates and shares; all else are times and sizes. */
function moreIsBetter(unit: string): boolean {
  return unit === '×' || (unit.endsWith('/s') && unit !== 'ms/s');
}

function format(value: number): string {
  if (Number.isNaN(value)) return ''; // not measured; its unit says why
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toFixed(value >= 10 ? 1 : 2);
}
