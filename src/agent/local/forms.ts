import { createHash } from 'node:crypto';
import type { ConnectConfig, HealthCheck, NodeService, ProxyConfig } from '../../model/catalog.ts';
import type { ServiceForm } from '../../model/service-form.ts';
import type { LocalCheck, LocalService } from './registry.ts';

/** A service as /v1/agent/services shows it: only proxies show `Proxy`, only native services `Connect`. */
export interface AgentService {
  readonly Kind?: string;
  readonly ID: string;
  readonly Service: string;
  readonly Tags: readonly string[];
  readonly Meta: Readonly<Record<string, string>>;
  readonly Port: number;
  readonly Ports?: NodeService['Ports'];
  readonly Address: string;
  readonly SocketPath?: string;
  readonly TaggedAddresses?: NodeService['TaggedAddresses'];
  readonly Weights: NodeService['Weights'];
  readonly EnableTagOverride: boolean;
  /** Names this content; only where one service is asked for. */
  readonly ContentHash?: string;
  readonly Proxy?: ProxyConfig;
  readonly Connect?: ConnectConfig;
  readonly Datacenter: string;
  readonly Locality?: NodeService['Locality'];
}

export function agentService({ form }: Pick<LocalService, 'form'>, datacenter: string): AgentService {
  return describe(form, datacenter, undefined);
}

export function agentServiceWithHash({ form }: Pick<LocalService, 'form'>, datacenter: string): AgentService {
  const content = JSON.stringify(describe(form, datacenter, undefined));
  return describe(form, datacenter, createHash('sha256').update(content).digest('hex').slice(0, 16));
}

function describe(form: ServiceForm, datacenter: string, hash: string | undefined): AgentService {
  return {
    ...(form.Kind === undefined ? {} : { Kind: form.Kind }),
    ID: form.ID,
    Service: form.Service,
    Tags: form.Tags ?? [],
    Meta: form.Meta ?? {},
    Port: form.Port,
    ...(form.Ports === undefined ? {} : { Ports: form.Ports }),
    Address: form.Address,
    ...(form.SocketPath === undefined ? {} : { SocketPath: form.SocketPath }),
    ...(form.TaggedAddresses === undefined ? {} : { TaggedAddresses: form.TaggedAddresses }),
    Weights: form.Weights,
    EnableTagOverride: form.EnableTagOverride,
    ...(hash === undefined ? {} : { ContentHash: hash }),
    ...(form.Kind === undefined ? {} : { Proxy: form.Proxy }),
    ...(form.Connect.Native === true ? { Connect: form.Connect } : {}),
    Datacenter: datacenter,
    ...(form.Locality === undefined ? {} : { Locality: form.Locality }),
  };
}

/** A check as /v1/agent/checks shows it: the agent knows no indexes. */
export function agentCheck({ form }: Pick<LocalCheck, 'form'>, node: string): HealthCheck {
  return {
    Node: node,
    CheckID: form.CheckID,
    Name: form.Name,
    Status: form.Status,
    Notes: form.Notes,
    Output: form.Output,
    ServiceID: form.ServiceID,
    ServiceName: form.ServiceName,
    ServiceTags: form.ServiceTags ?? [],
    Type: form.Type,
    Definition: {},
    CreateIndex: 0,
    ModifyIndex: 0,
  };
}

/** What the health endpoints of the agent show instead: no type, and a definition with nothing in it. */
const EMPTY_DEFINITION = {
  Interval: '0s',
  Timeout: '0s',
  DeregisterCriticalServiceAfter: '0s',
  HTTP: '',
  Header: null,
  Method: '',
  Body: '',
  TLSSkipVerify: false,
  TCP: '',
};

export type AggregatedStatus = 'passing' | 'warning' | 'critical' | 'maintenance';

export interface ServiceHealth {
  readonly AggregatedStatus: AggregatedStatus;
  readonly Service: AgentService;
  readonly Checks: readonly HealthCheck[];
}

export function serviceHealth(
  service: LocalService,
  checks: readonly LocalCheck[],
  node: string,
  datacenter: string,
): ServiceHealth {
  return {
    AggregatedStatus: aggregate(checks),
    Service: agentService(service, datacenter),
    Checks: checks.map((check) => ({ ...agentCheck(check, node), Type: '', Definition: EMPTY_DEFINITION })),
  };
}

export const NODE_MAINTENANCE = '_node_maintenance';
export const SERVICE_MAINTENANCE_PREFIX = '_service_maintenance:';

/** The worst of all; maintenance is worse than critical. */
function aggregate(checks: readonly LocalCheck[]): AggregatedStatus {
  let worst: AggregatedStatus = 'passing';
  for (const { form } of checks) {
    if (form.CheckID === NODE_MAINTENANCE || form.CheckID.startsWith(SERVICE_MAINTENANCE_PREFIX)) return 'maintenance';
    if (form.Status === 'critical') worst = 'critical';
    else if (form.Status === 'warning' && worst === 'passing') worst = 'warning';
  }
  return worst;
}
