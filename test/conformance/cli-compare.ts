import type { Relations } from './dynamic.ts';
import type { CommandRecording } from './recording.ts';

export interface CommandOutcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Stands in recordings for a help text that is not compared. */
const USAGE = '(usage follows)';
const LEFT_OUT = '(left out)';

/** What of a command's outcome is not as recorded: `status`, `stdout`, `stderr`. */
export function compareOutcome(
  recording: CommandRecording,
  actual: CommandOutcome,
  relations: Relations,
): readonly ('status' | 'stdout' | 'stderr')[] {
  const found: ('status' | 'stdout' | 'stderr')[] = [];
  if (recording.status !== actual.status) found.push('status');
  if (!sameText(recording.stdout, actual.stdout, relations)) found.push('stdout');
  if (!sameText(recording.stderr, actual.stderr, relations)) found.push('stderr');
  return found;
}

function sameText(recorded: string, actual: string, relations: Relations): boolean {
  if (recorded === LEFT_OUT) return actual !== '';
  if (recorded.endsWith(USAGE)) {
    const before = recorded.slice(0, -USAGE.length);
    return actual.startsWith(before) && actual.length > before.length;
  }
  return relations.match(plain(recorded), plain(actual)) === undefined;
}

/** Without what only this output has: shortened IDs, dates in words, indexes, and padding to the width of addresses. */
function plain(text: string): string {
  return text
    .replace(/(?<=\s)[0-9a-f]{8}(?=\s)/g, '<short id>')
    .replace(/[A-Z][a-z]+, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d UTC/g, '<date>')
    .replace(/"(Create|Modify)Index": [1-9]\d*/g, '"$1Index": <index>')
    .replace(/\b(Create|Modify)Index +[1-9]\d*/g, '$1Index <index>')
    .replace(/(?<=\b(?:port|wan_join_port)=)\d+/g, '<port>')
    .replace(/(?<=rtt: )\d+\.\d{3}(?= ms)/g, '<time>')
    .replace(/ {2,}/g, '  ');
}
