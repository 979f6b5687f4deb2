import type { Clock } from '../../../lib/clock.ts';
import type { Slots } from '../../../lib/slots.ts';
import { type CheckKind, checkKind, commandOf } from '../../../model/registration/check-rules.ts';
import type { CheckType } from '../../../model/registration/definitions.ts';
import type { CheckTls } from './dial.ts';
import { DEFAULT_TIMEOUT_MS } from './dial-error.ts';
import { dockerProber } from './docker.ts';
import { probeGrpc } from './grpc.ts';
import { probeH2Ping } from './h2ping.ts';
import { probeHttp } from './http.ts';
import { probeOsService } from './os-service.ts';
import type { CheckReach } from './reach.ts';
import type { CheckResult } from './runner.ts';
import { DEFAULT_SCRIPT_TIMEOUT_MS, probeScript } from './script.ts';
import { probeTcp } from './tcp.ts';
import { probeUdp } from './udp.ts';

export interface ProbeDeps {
  readonly clock: Clock;
  readonly reach: CheckReach;
  /** Of the programs that checks run. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For the programs that checks run. */
  readonly slots: Slots;
  /** Path of the Docker daemon's socket. */
  readonly dockerSocket: string;
}

/** One run of a check. */
export type Probe = (signal: AbortSignal) => Promise<CheckResult>;

type ProbeMaker = (deps: ProbeDeps, type: CheckType, maxOutput: number) => Probe;

/** The kinds that take turns. */
const PROBES: Partial<Readonly<Record<CheckKind, ProbeMaker>>> = {
  http:
    ({ clock, reach }, type, maxOutput) =>
    (signal) =>
      probeHttp(
        clock,
        {
          url: type.HTTP ?? '',
          ...(type.Method === undefined ? {} : { method: type.Method }),
          ...(type.Header === undefined ? {} : { headers: type.Header }),
          ...(type.Body === undefined ? {} : { body: type.Body }),
          timeoutMs: timeoutOf(type),
          maxOutput,
          reach,
          skipVerify: type.TLSSkipVerify === true,
          stay: type.DisableRedirects === true,
          ...(type.TLSServerName === undefined ? {} : { serverName: type.TLSServerName }),
        },
        signal,
      ),
  tcp:
    ({ clock, reach }, type) =>
    (signal) =>
      probeTcp(clock, type.TCP ?? '', timeoutOf(type), signal, reach, tlsOf(type, type.TCPUseTLS === true)),
  udp:
    ({ clock, reach }, type) =>
    (signal) =>
      probeUdp(clock, type.UDP ?? '', timeoutOf(type), signal, reach),
  grpc:
    ({ clock, reach }, type) =>
    (signal) =>
      probeGrpc(clock, type.GRPC ?? '', timeoutOf(type), signal, reach, tlsOf(type, type.GRPCUseTLS === true)),
  h2ping:
    ({ clock, reach }, type) =>
    (signal) =>
      probeH2Ping(clock, type.H2PING ?? '', timeoutOf(type), signal, reach, tlsOf(type, type.H2PingUseTLS !== false)),
  script: (deps, type, maxOutput) => (signal) =>
    probeScript(
      deps,
      { args: commandOf(type), timeoutMs: type.Timeout || DEFAULT_SCRIPT_TIMEOUT_MS, maxOutput },
      signal,
    ),
  docker: ({ clock, dockerSocket }, type, maxOutput) =>
    dockerProber(clock, {
      socketPath: dockerSocket,
      container: type.DockerContainerID ?? '',
      args: dockerCommand(type),
      timeoutMs: type.Timeout || DEFAULT_SCRIPT_TIMEOUT_MS,
      maxOutput,
    }),
  os_service: (deps, type) => (signal) =>
    probeOsService(deps, type.OSService ?? '', type.Timeout || DEFAULT_SCRIPT_TIMEOUT_MS, signal),
};

/** @param maxOutput bytes of output that the agent keeps of any check */
export function probeOf(deps: ProbeDeps, type: CheckType, maxOutput: number): Probe {
  const make = PROBES[checkKind(type)] as ProbeMaker;
  return make(deps, type, Math.min(type.OutputMaxSize || maxOutput, maxOutput));
}

/** `Shell` runs a single text, as its line. */
function dockerCommand(type: CheckType): readonly string[] {
  const command = commandOf(type);
  return type.Shell && command.length === 1 ? [type.Shell, '-c', ...command] : command;
}

function timeoutOf({ Timeout }: CheckType): number {
  return Timeout || DEFAULT_TIMEOUT_MS;
}

function tlsOf({ TLSServerName, TLSSkipVerify }: CheckType, wanted: boolean): CheckTls | undefined {
  if (!wanted) return undefined;
  return { skipVerify: TLSSkipVerify === true, ...(TLSServerName ? { serverName: TLSServerName } : {}) };
}
