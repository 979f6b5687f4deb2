import type { Command } from './command.ts';
import { aclBootstrap } from './commands/acl-bootstrap.ts';
import { aclPolicyCommands } from './commands/acl-policies.ts';
import { aclRoleCommands } from './commands/acl-roles.ts';
import { aclSetAgentToken } from './commands/acl-set-agent-token.ts';
import { aclTokenCommands } from './commands/acl-tokens.ts';
import { aclTranslateRules } from './commands/acl-translate-rules.ts';
import { agent } from './commands/agent.ts';
import { catalogAddress } from './commands/catalog-address.ts';
import { catalogDatacenters } from './commands/catalog-datacenters.ts';
import { catalogNodes } from './commands/catalog-nodes.ts';
import { catalogServices } from './commands/catalog-services.ts';
import { configDelete } from './commands/config-delete.ts';
import { configList } from './commands/config-list.ts';
import { configRead } from './commands/config-read.ts';
import { configWrite } from './commands/config-write.ts';
import { connectCaGetConfig } from './commands/connect-ca-get-config.ts';
import { connectCaRotate } from './commands/connect-ca-rotate.ts';
import { connectCaSetConfig } from './commands/connect-ca-set-config.ts';
import { connectCaStatus } from './commands/connect-ca-status.ts';
import { connectEnvoy } from './commands/connect-envoy.ts';
import { connectProxy } from './commands/connect-proxy.ts';
import { debug } from './commands/debug.ts';
import { event } from './commands/event.ts';
import { federationAutonomy } from './commands/federation-autonomy.ts';
import { federationInvite } from './commands/federation-invite.ts';
import { federationMap } from './commands/federation-map.ts';
import { federationStatus } from './commands/federation-status.ts';
import { forceLeave } from './commands/force-leave.ts';
import { info } from './commands/info.ts';
import { intentionCheck } from './commands/intention-check.ts';
import { intentionCreate } from './commands/intention-create.ts';
import { intentionDelete } from './commands/intention-delete.ts';
import { intentionExplain } from './commands/intention-explain.ts';
import { intentionGet } from './commands/intention-get.ts';
import { intentionList } from './commands/intention-list.ts';
import { intentionMatch } from './commands/intention-match.ts';
import { join } from './commands/join.ts';
import { keygen } from './commands/keygen.ts';
import { kvDelete } from './commands/kv-delete.ts';
import { kvExport } from './commands/kv-export.ts';
import { kvGet } from './commands/kv-get.ts';
import { kvImport } from './commands/kv-import.ts';
import { kvPut } from './commands/kv-put.ts';
import { leave } from './commands/leave.ts';
import { lock } from './commands/lock.ts';
import { maint } from './commands/maint.ts';
import { members } from './commands/members.ts';
import { monitor } from './commands/monitor.ts';
import { operatorAutopilotCommands } from './commands/operator-autopilot.ts';
import { operatorRaftCommands } from './commands/operator-raft.ts';
import { operatorRaftListPeers } from './commands/operator-raft-list-peers.ts';
import { operatorUsageInstances } from './commands/operator-usage-instances.ts';
import { queryForecast } from './commands/query-forecast.ts';
import { reload } from './commands/reload.ts';
import { replicationAcceptSource } from './commands/replication-accept-source.ts';
import { replicationStatus } from './commands/replication-status.ts';
import { rtt } from './commands/rtt.ts';
import { servicesDeregister } from './commands/services-deregister.ts';
import { servicesRegister } from './commands/services-register.ts';
import { snapshotAgent } from './commands/snapshot-agent.ts';
import { snapshotDecode } from './commands/snapshot-decode.ts';
import { snapshotInspect } from './commands/snapshot-inspect.ts';
import { snapshotRestore } from './commands/snapshot-restore.ts';
import { snapshotSave } from './commands/snapshot-save.ts';
import { storeMigrate } from './commands/store-migrate.ts';
import { tlsCaCreate } from './commands/tls-ca-create.ts';
import { tlsCertCreate } from './commands/tls-cert-create.ts';
import { troubleshootCommands } from './commands/troubleshoot.ts';
import { validate } from './commands/validate.ts';
import { version } from './commands/version.ts';
import { watch } from './commands/watch.ts';

/** Every command of `isthmus`. */
export const COMMANDS: readonly Command[] = [
  aclBootstrap,
  ...aclPolicyCommands,
  ...aclRoleCommands,
  aclSetAgentToken,
  ...aclTokenCommands,
  aclTranslateRules,
  agent,
  catalogAddress,
  catalogDatacenters,
  catalogNodes,
  catalogServices,
  configDelete,
  configList,
  configRead,
  configWrite,
  connectCaGetConfig,
  connectCaRotate,
  connectCaSetConfig,
  connectCaStatus,
  connectEnvoy,
  connectProxy,
  federationAutonomy,
  debug,
  event,
  federationInvite,
  federationMap,
  federationStatus,
  forceLeave,
  info,
  intentionCheck,
  intentionCreate,
  intentionDelete,
  intentionExplain,
  intentionGet,
  intentionList,
  intentionMatch,
  join,
  keygen,
  kvDelete,
  kvExport,
  kvGet,
  kvImport,
  kvPut,
  leave,
  lock,
  maint,
  members,
  monitor,
  ...operatorAutopilotCommands,
  ...operatorRaftCommands,
  operatorRaftListPeers,
  operatorUsageInstances,
  queryForecast,
  reload,
  replicationAcceptSource,
  replicationStatus,
  rtt,
  servicesDeregister,
  servicesRegister,
  tlsCaCreate,
  tlsCertCreate,
  snapshotAgent,
  snapshotDecode,
  snapshotInspect,
  snapshotRestore,
  snapshotSave,
  storeMigrate,
  ...troubleshootCommands,
  validate,
  version,
  watch,
];
