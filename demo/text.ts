/** A bar of `width` characters for a share between 0 and 1. */
export function bar(share: number, width = 16): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}`;
}

/** Lines of at most `width` characters, broken between words; a longer word is not broken. */
export function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines: string[] = [];
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    return [...lines, line];
  });
}

const LEVELS = '▁▂▃▄▅▆▇█';

/** One character for each share between 0 and 1. */
export function sparkline(shares: readonly number[]): string {
  const at = (share: number): number => Math.round(Math.min(1, Math.max(0, share)) * (LEVELS.length - 1));
  return shares.map((share) => LEVELS[at(share)]).join('');
}

/** Rows as lines with columns of equal width. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
