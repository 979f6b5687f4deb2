import type { Clock } from '../../../lib/clock.ts';
import { formatDuration } from '../../../lib/duration.ts';
import { type ProgramEnd, runProgram } from '../../../lib/program.ts';
import type { Slots } from '../../../lib/slots.ts';
import type { CheckResult } from './runner.ts';

/** How long a script may take when its definition does not say, milliseconds. */
export const DEFAULT_SCRIPT_TIMEOUT_MS = 30_000;

/** Programs that the checks of one agent run at the same time; the others wait for their turn. */
export const MAX_PROGRAMS = 32;

export interface ProgramDeps {
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly slots: Slots;
}

export interface ScriptProbe {
  readonly args: readonly string[];
  readonly timeoutMs: number;
  /** Bytes of output that are kept: the last ones. */
  readonly maxOutput: number;
}

/** As plugins of Nagios: exit code 0 is passing, 1 warning, all else critical; what it writes is the output. */
export async function probeScript(deps: ProgramDeps, probe: ScriptProbe, signal: AbortSignal): Promise<CheckResult> {
  const end = await runInTurn(deps, probe, signal);
  const output = capturedOutput(end.output, end.written);
  switch (end.kind) {
    case 'failed':
      return { status: 'critical', output: end.reason };
    case 'timeout': {
      const late = `Timed out (${formatDuration(probe.timeoutMs)}) running check`;
      return { status: 'critical', output: output === '' ? late : `${late}\n\n${output}`, over: end.gone };
    }
    default:
      return { status: exitStatus(end.code), output };
  }
}

/** Its time begins once it runs. */
export async function runInTurn(deps: ProgramDeps, probe: ScriptProbe, signal: AbortSignal): Promise<ProgramEnd> {
  const giveBack = await deps.slots.take(signal);
  const end = await runProgram({ ...probe, clock: deps.clock, env: deps.env, signal });
  end.gone.then(giveBack, giveBack);
  return end;
}

export function exitStatus(code: number): CheckResult['status'] {
  return code === 0 ? 'passing' : code === 1 ? 'warning' : 'critical';
}

/** The bytes kept as text, with a note when there were more. */
export function capturedOutput(kept: Buffer, written: number): string {
  const text = kept.toString('utf8');
  return written > kept.length ? `Captured ${kept.length} of ${written} bytes\n...\n${text}` : text;
}
