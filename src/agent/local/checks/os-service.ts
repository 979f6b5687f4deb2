import { formatDuration } from '../../../lib/duration.ts';
import type { CheckResult } from './runner.ts';
import { capturedOutput, type ProgramDeps, runInTurn } from './script.ts';

const MAX_OUTPUT = 1_024;

/**
 * Asks systemd, else OpenRC, whether a service runs. Passing: it does; warning: it is on its way to another state;
 * critical: it does not, or there is no such one.
 */
export async function probeOsService(
  deps: ProgramDeps,
  name: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<CheckResult> {
  for (const { program, args, statusOf } of MANAGERS) {
    const run = { args: [program, ...args(name)], timeoutMs, maxOutput: MAX_OUTPUT };
    const end = await runInTurn(deps, run, signal);
    if (end.kind === 'timeout')
      return { status: 'critical', output: `Timed out (${formatDuration(timeoutMs)}) running check`, over: end.gone };
    if (end.kind === 'failed') {
      if (/not found in \$PATH$/.test(end.reason)) continue;
      return { status: 'critical', output: end.reason };
    }
    const said = capturedOutput(end.output, end.written).trim();
    const status = statusOf(end.code, said);
    return {
      status,
      output:
        status === 'passing' ? `Service "${name}" is healthy` : `service status: ${said || `exit code ${end.code}`}`,
    };
  }
  return {
    status: 'critical',
    output: 'This machine has neither systemd (systemctl) nor OpenRC (rc-service): its services cannot be asked for',
  };
}

interface Manager {
  readonly program: string;
  args(name: string): readonly string[];
  statusOf(code: number, said: string): CheckResult['status'];
}

const CHANGING = new Set(['activating', 'deactivating', 'reloading', 'refreshing', 'maintenance']);

const MANAGERS: readonly Manager[] = [
  {
    program: 'systemctl',
    args: (name) => ['is-active', '--', name],
    statusOf: (code, said) =>
      code === 0 && said === 'active' ? 'passing' : CHANGING.has(said) ? 'warning' : 'critical',
  },
  {
    program: 'rc-service',
    args: (name) => ['--', name, 'status'],
    // 3 stopped, 4 stopping, 8 starting, 16 inactive (waits for another one), 32 crashed.
    statusOf: (code) => (code === 0 ? 'passing' : [4, 8, 16].includes(code) ? 'warning' : 'critical'),
  },
];
