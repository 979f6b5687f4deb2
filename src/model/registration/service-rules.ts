import { isIPv4, isIPv6 } from 'node:net';
import { type DefaultAddresses, defaultAddresses } from '../address.ts';
import type { ServiceAddress } from '../catalog.ts';
import { metadataFault } from '../metadata.ts';
import {
  faultList,
  type GivenService,
  isAnyAddress,
  normalizeService,
  portFaults,
  proxyFaults,
  type ServiceForm,
} from '../service-form.ts';
import { badRequest, checkFault, isStatus } from './check-rules.ts';
import type { CheckType, ServiceDefinition, SidecarDefinition } from './definitions.ts';
import { registrationWarnings } from './without-effect.ts';

/** The kinds of service that Consul knows. */
const PROXY_KIND = 'connect-proxy';
/** Of a service's weight: DNS carries it in 16 bits. */
const MAX_WEIGHT = 65_535;
/** Where only the rules are looked at, the family of the node does not matter. */
const ANY_NODE = defaultAddresses('');

/** What is wrong with a definition, in the order in which Consul looks; a list is what Consul says in one text. */
function* faultsInOrder(definition: ServiceDefinition): Iterable<string | readonly string[] | CheckFault> {
  if (!definition.Name) yield 'Missing service name';
  if (isAnyAddress(definition.Address ?? '')) yield 'Invalid service address';
  const weights = definition.Weights;
  if (weights !== undefined) {
    const fault = weightFault(weights.Passing ?? 0, weights.Warning ?? 0);
    if (fault !== undefined) yield `Invalid Weights: ${fault}`;
  }
  const meta = metadataFault(definition.Meta ?? {});
  if (meta !== undefined) yield `Invalid Service Meta: ${meta}`;
  const sidecar = definition.Connect?.SidecarService;
  const faults = [...proxyFaults(toGiven(definition)), ...nestedFaults(sidecar)];
  if (faults.length > 0) yield faults;
  yield* portFaults(definition);
  for (const fault of portFaults(sidecar ?? {})) yield `sidecar_service: ${fault}`;
  yield* checksFaults(definition, false);
  if (sidecar !== undefined) yield* checksFaults(sidecar, true);
}

/** What is wrong with one check of a definition, or of its sidecar. */
export interface CheckFault {
  readonly text: string;
  /** Its place in `checksOf`. */
  readonly check: number;
  readonly ofSidecar: boolean;
}

/** Throws `invalid_argument` with Consul's text for the first thing that is wrong. */
export function validateServiceDefinition(definition: ServiceDefinition): void {
  for (const fault of faultsInOrder(definition))
    throw badRequest(typeof fault === 'string' ? fault : 'text' in fault ? fault.text : faultList(fault));
}

/** Everything that is wrong with a definition, and with the sidecar that it brings. */
export function serviceFaults(definition: ServiceDefinition): readonly (string | CheckFault)[] {
  const own = [...faultsInOrder(definition)].flat();
  // The port that is still to be allocated is no fault.
  const sidecar = own.length > 0 ? undefined : expandSidecar(definition, ANY_NODE, () => 1);
  return sidecar === undefined ? own : proxyFaults(sidecar.form).map((fault) => `sidecar_service: ${fault}`);
}

function weightFault(passing: number, warning: number): string | undefined {
  if (passing < 1) return 'Passing must be greater than 0';
  if (warning < 0) return 'Warning must be greater or equal than 0';
  if (passing > MAX_WEIGHT || warning > MAX_WEIGHT) return 'DNS Weight must be between 0 and 65535';
  return undefined;
}

function nestedFaults(sidecar: SidecarDefinition | undefined): string[] {
  const faults: string[] = [];
  if (sidecar?.ID) faults.push('A SidecarService cannot specify an ID as this is managed by the agent');
  const nested = Object.keys(sidecar?.Connect ?? {}).some((key) => /^sidecar_?service$/i.test(key));
  if (nested) faults.push('A SidecarService cannot have a nested SidecarService');
  return faults;
}

function* checksFaults(of: ServiceDefinition | SidecarDefinition, ofSidecar: boolean): Iterable<CheckFault> {
  const checks = checksOf(of);
  const prefix = ofSidecar ? 'Invalid check in sidecar_service' : 'Invalid check';
  for (const [check, type] of checks.entries()) {
    const fault = checkFault(type);
    if (fault !== undefined) yield { text: `${prefix}: ${fault}`, check, ofSidecar };
  }
  for (const [check, { Status }] of checks.entries())
    if (Status && !isStatus(Status))
      yield { text: "Status for checks must 'passing', 'warning', 'critical'", check, ofSidecar };
}

/** `Check`, when anything is set in it, then `Checks`. */
export function checksOf(definition: ServiceDefinition | SidecarDefinition): readonly CheckType[] {
  const { Check: single, Checks: several = [] } = definition;
  return single === undefined || Object.keys(single).length === 0 ? several : [single, ...several];
}

function toGiven(definition: ServiceDefinition | SidecarDefinition): GivenService {
  const { Name, Proxy: proxy, Connect, Weights: weights, Check, Checks, Token, Namespace, ...rest } = definition;
  return {
    ...rest,
    ...(Name === undefined ? {} : { Service: Name }),
    ...(weights === undefined ? {} : { Weights: { Passing: weights.Passing ?? 0, Warning: weights.Warning ?? 0 } }),
    ...(proxy === undefined
      ? {}
      : {
          Proxy: {
            ...proxy,
            ...(proxy.Upstreams === undefined ? {} : { Upstreams: proxy.Upstreams.map(upstreamOf) }),
          },
        }),
    ...(Connect?.Native === true ? { Connect: { Native: true } } : {}),
  } as GivenService;
}

/** What a definition, or its sidecar, asks for and does not get: a sentence each. */
export function definitionWarnings(definition: ServiceDefinition): readonly string[] {
  const sidecar = definition.Connect?.SidecarService;
  const ofSidecar = sidecar === undefined ? [] : registrationWarnings(toGiven(sidecar));
  return [...registrationWarnings(toGiven(definition)), ...ofSidecar.map((text) => `Connect.SidecarService.${text}`)];
}

/** An agent fills in the type that the catalog leaves open. */
function upstreamOf<U extends { readonly DestinationType?: string }>(
  upstream: U,
): U & { readonly DestinationType: string } {
  return { ...upstream, DestinationType: upstream.DestinationType || 'service' };
}

/** The service as the agent keeps it and as it goes to the catalog. */
export function serviceForm(definition: ServiceDefinition): ServiceForm {
  const form = normalizeService(toGiven(definition));
  return { ...form, ...withTaggedAddresses(form), Tags: form.Tags ?? [], Meta: form.Meta ?? {} };
}

/** An address is also offered under its family's tags, unless those were given. */
function withTaggedAddresses(form: ServiceForm): Pick<ServiceForm, 'TaggedAddresses'> {
  const family = isIPv4(form.Address) ? 'ipv4' : isIPv6(form.Address) ? 'ipv6' : undefined;
  if (family === undefined) return {};
  const own: ServiceAddress = { Address: form.Address, Port: form.Port };
  return { TaggedAddresses: { [`lan_${family}`]: own, [`wan_${family}`]: own, ...form.TaggedAddresses } };
}

export interface SidecarExpansion {
  readonly form: ServiceForm;
  readonly checks: readonly CheckType[];
  readonly token: string | undefined;
}

export function sidecarId(serviceId: string): string {
  return `${serviceId}-sidecar-proxy`;
}

/**
 * What a service's `Connect.SidecarService` stands for: a proxy registration of its own, with all that was not given
 * taken from the service. Undefined when it has none.
 */
export function expandSidecar(
  definition: ServiceDefinition,
  addresses: DefaultAddresses,
  allocatePort: () => number,
): SidecarExpansion | undefined {
  const sidecar = definition.Connect?.SidecarService;
  if (sidecar === undefined) return undefined;
  const name = definition.Name ?? '';
  const id = definition.ID || name;
  const proxy = sidecar.Proxy ?? {};
  const tags = sidecar.Tags ?? definition.Tags;
  const meta = sidecar.Meta ?? definition.Meta;
  const locality = sidecar.Locality ?? definition.Locality;
  const socket = proxy.LocalServiceSocketPath || definition.SocketPath;
  const form = serviceForm({
    ...sidecar,
    ID: sidecarId(id),
    Kind: sidecar.Kind || PROXY_KIND,
    Name: sidecar.Name || `${name}-sidecar-proxy`,
    ...(tags === undefined ? {} : { Tags: tags }),
    ...(meta === undefined ? {} : { Meta: meta }),
    Port: sidecar.Port || allocatePort(),
    ...(locality === undefined ? {} : { Locality: locality }),
    Connect: {},
    Proxy: {
      ...proxy,
      DestinationServiceName: proxy.DestinationServiceName || name,
      DestinationServiceID: proxy.DestinationServiceID || id,
      LocalServiceAddress: proxy.LocalServiceAddress || addresses.loopback,
      LocalServicePort: proxy.LocalServicePort || normalizeService(toGiven(definition)).Port,
      ...(socket ? { LocalServiceSocketPath: socket } : {}),
    },
  });
  const given = checksOf(sidecar);
  return { form, checks: given.length > 0 ? given : defaultChecks(form, id, addresses), token: sidecar.Token };
}

/** Is the proxy listening, and is the service behind it well? */
function defaultChecks(sidecar: ServiceForm, serviceId: string, addresses: DefaultAddresses): readonly CheckType[] {
  const host = sidecar.Address || sidecar.Proxy.LocalServiceAddress || addresses.loopback;
  return [
    {
      Name: 'Connect Sidecar Listening',
      TCP: isIPv6(host) ? `[${host}]:${sidecar.Port}` : `${host}:${sidecar.Port}`,
      Interval: 10_000,
    },
    { Name: `Connect Sidecar Aliasing ${serviceId}`, AliasService: serviceId },
  ];
}

/** `min` 0 gives out none. */
export interface PortRange {
  readonly min: number;
  readonly max: number;
}

/** The first port of the range that is not in use; a sidecar that is there (`known`) keeps its own. */
export function allocateSidecarPort(range: PortRange, inUse: Iterable<number>, known: number | undefined): number {
  if (known !== undefined && known >= range.min && known <= range.max) return known;
  const used = new Set(inUse);
  if (range.min > 0) {
    for (let port = range.min; port <= range.max; port += 1) if (!used.has(port)) return port;
  }
  throw badRequest(
    `Invalid SidecarService: no port provided for sidecar_service and none left to allocate in the configured range ` +
      `[${range.min}, ${range.max}]`,
  );
}

/** What a definition registers: the service, and its sidecar with a port that is not in use. */
export function formsOf(
  definition: ServiceDefinition,
  range: PortRange,
  portsInUse: Iterable<number>,
): readonly ServiceForm[] {
  const form = serviceForm(definition);
  const sidecar = expandSidecar(definition, ANY_NODE, () =>
    allocateSidecarPort(range, [form.Port, ...portsInUse], undefined),
  );
  return sidecar === undefined ? [form] : [form, sidecar.form];
}

/** Where a proxy listens by its registration; '' is every address of the node. Undefined for what is no proxy. */
export function proxyAddress(form: ServiceForm): { readonly host: string; readonly port: number } | undefined {
  if (form.Kind !== PROXY_KIND) return undefined;
  const { bind_address: host, bind_port: port } = form.Proxy.Config ?? {};
  return {
    host: typeof host === 'string' && host !== '' ? host : form.Address,
    port: typeof port === 'number' && port > 0 ? port : form.Port,
  };
}
