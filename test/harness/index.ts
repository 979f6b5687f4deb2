/** Real processes for tests and the demo: starting, stopping, killing, and the network between them. */
export {
  type AgentOptions,
  type AgentProcess,
  type AgentReady,
  BINARY,
  type SidecarOptions,
  type SidecarProcess,
  type SidecarReady,
  startAgent,
  startSidecar,
} from './agent.ts';
export {
  type Bed,
  type BedOptions,
  type Cut,
  type MeshOptions,
  type MeshService,
  portOf,
  startBed,
  startMeshService,
} from './bed.ts';
export { type Access, call, callAgent, json, useAccess } from './call.ts';
export { type CliResult, isthmus } from './cli.ts';
export {
  type EnvoyOptions,
  type EnvoyProcess,
  type EnvoyService,
  type EnvoyServiceOptions,
  envoyProgram,
  startEnvoy,
  startEnvoyService,
} from './envoy.ts';
export {
  type EtcdCluster,
  type EtcdMember,
  type EtcdOptions,
  startEtcd,
  type Way,
  withoutEtcd,
} from './etcd.ts';
export { type HttpAnswer, type HttpBody, type HttpRequestOptions, httpRequest } from './http.ts';
export { type Machine, type Machines, startMachines, withoutMachines } from './machines.ts';
export {
  assertNoneLeft,
  type Exit,
  type ManagedProcess,
  type ProcessOptions,
  runningProcesses,
  startProcess,
} from './managed-process.ts';
export { type NativeApplication, type NativeOptions, type NativeUpstream, startNative } from './native.ts';
export { freePorts } from './ports.ts';
export { type PreviousRelease, previousRelease } from './previous-release.ts';
export { type Program, program, runProgram } from './programs.ts';
export { type Random, seeded } from './random.ts';
export {
  DATACENTERS,
  type DatacenterName,
  type FarDatacenter,
  type MemberKind,
  startThreeDatacenters,
  type ThreeDatacenters,
} from './three-datacenters.ts';
export {
  ask,
  type EchoApplication,
  type Load,
  type LoadCounts,
  LongLived,
  type Opened,
  startEcho,
  startLoad,
} from './traffic.ts';
export { until, type WaitOptions, waitFor } from './wait-for.ts';
export { type WanProxy, type WanProxyOptions, type WanState, wanProxy } from './wan-proxy.ts';
