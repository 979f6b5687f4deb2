import { isIP } from 'node:net';
import { isLoopback } from '../../lib/address.ts';
import type { DefaultAddresses } from '../../model/address.ts';
import { checkKind } from '../../model/registration/check-rules.ts';
import type { CheckType } from '../../model/registration/definitions.ts';
import { proxyAddress } from '../../model/registration/service-rules.ts';
import type { ServiceForm } from '../../model/service-form.ts';
import type { ExposedPath } from '../../model/sidecar.ts';
import type { Logger } from '../../telemetry/types.ts';
import { checkAddress } from './checks/dial.ts';
import type { LocalCheck, Registry } from './registry.ts';

export interface ExposedChecksDeps {
  readonly registry: Registry;
  readonly log: Pick<Logger, 'warn'>;
  /** That the node advertises. */
  readonly address: string;
  readonly addresses: DefaultAddresses;
  readonly ports: { readonly min: number; readonly max: number };
}

interface Exposed extends ExposedPath {
  readonly checkId: string;
  readonly proxyId: string;
  /** Where the agent reaches the proxy. */
  readonly host: string;
}

/** Path of a gRPC check, as every implementation of grpc.health.v1 serves it. */
const GRPC_PATH = '/grpc.health.v1.Health/Check';

/**
 * HTTP and gRPC checks of services whose proxy has `expose.checks`: each has a port at which the proxy serves its path
 * to this agent. While such a proxy serves, the agent asks there, so that the application may listen on loopback of its
 * own network alone.
 */
export class ExposedChecks {
  readonly #deps: ExposedChecksDeps;
  /** IDs of the proxies with `expose.checks`. */
  readonly #proxies = new Set<string>();
  /** How many sessions of each proxy serve. */
  readonly #serving = new Map<string, number>();
  readonly #ports = new Map<string, number>();
  /** By the ID of the check; undefined once something changed. */
  #exposed: ReadonlyMap<string, Exposed> | undefined;
  #full = false;

  constructor(deps: ExposedChecksDeps) {
    this.#deps = deps;
    deps.registry.onChange(({ kind, id }) => {
      if (kind !== 'service' && kind !== 'check') return;
      this.#exposed = undefined;
      if (kind !== 'service') return;
      const form = deps.registry.service(id)?.form;
      if (form?.Proxy.Expose.Checks === true && proxyAddress(form) !== undefined) this.#proxies.add(id);
      else this.#proxies.delete(id);
    });
  }

  /** What a proxy serves for checks. */
  pathsOf(proxyId: string): readonly ExposedPath[] {
    return [...this.#now().values()]
      .filter((each) => each.proxyId === proxyId)
      .map(({ path, listenerPort, localPort, http2, from }) => ({
        ...{ path, listenerPort, localPort, http2 },
        ...(from === undefined ? {} : { from }),
      }));
  }

  /** A proxy serves what it was given; returns the function to call when it went. */
  serves(proxyId: string): () => void {
    this.#serving.set(proxyId, (this.#serving.get(proxyId) ?? 0) + 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      const left = (this.#serving.get(proxyId) ?? 1) - 1;
      if (left > 0) this.#serving.set(proxyId, left);
      else this.#serving.delete(proxyId);
    };
  }

  /** A check as it is to be carried out now. */
  rerouted(checkId: string, type: CheckType): CheckType {
    if (this.#proxies.size === 0) return type;
    const exposed = this.#now().get(checkId);
    if (exposed === undefined || !this.#serving.has(exposed.proxyId)) return type;
    const host = isIP(exposed.host) === 6 ? `[${exposed.host}]` : exposed.host;
    const at = `${host}:${exposed.listenerPort}`;
    if (checkKind(type) === 'grpc') {
      const [, service] = (type.GRPC ?? '').split(/\/(.*)/s);
      return { ...type, GRPC: service === undefined ? at : `${at}/${service}` };
    }
    const url = new URL(type.HTTP ?? '');
    url.host = at;
    return { ...type, HTTP: url.href };
  }

  #now(): ReadonlyMap<string, Exposed> {
    this.#exposed ??= this.#make();
    return this.#exposed;
  }

  #make(): ReadonlyMap<string, Exposed> {
    const { registry, addresses, address } = this.#deps;
    const wanted = new Map<string, Omit<Exposed, 'listenerPort'>>();
    for (const proxyId of [...this.#proxies].sort()) {
      const form = registry.service(proxyId)?.form;
      const destination = form?.Proxy.DestinationServiceID || form?.Proxy.DestinationServiceName;
      if (form === undefined || !destination) continue;
      const own = proxyAddress(form)?.host ?? '';
      const host = ['', '0.0.0.0', '::'].includes(own) ? addresses.loopback : own;
      const near = [registry.service(destination)?.form.Address, form.Proxy.LocalServiceAddress, address];
      for (const check of registry.checksOf(destination)) {
        const place = placeOf(check);
        if (place === undefined || wanted.has(check.form.CheckID)) continue;
        const { at, ...path } = place;
        if (at !== 'localhost' && !isLoopback(at) && !near.includes(at)) continue;
        wanted.set(check.form.CheckID, {
          ...path,
          ...{ checkId: check.form.CheckID, proxyId, host },
          from: isIP(address) === 0 ? [] : [address],
        });
      }
    }
    for (const id of this.#ports.keys()) if (!wanted.has(id)) this.#ports.delete(id);
    return new Map(
      [...wanted].flatMap(([id, each]) => {
        const listenerPort = this.#ports.get(id) ?? this.#freePort();
        if (listenerPort === undefined) return [];
        this.#ports.set(id, listenerPort);
        return [[id, { ...each, listenerPort }] as const];
      }),
    );
  }

  /** Undefined when all are taken: the check then goes to the application itself. */
  #freePort(): number | undefined {
    const { registry, ports, log } = this.#deps;
    const taken = new Set([...this.#ports.values(), ...registry.portsInUse('')]);
    for (const { form } of registry.services()) for (const port of listenerPorts(form)) taken.add(port);
    for (let port = ports.min; port > 0 && port <= ports.max; port += 1) if (!taken.has(port)) return port;
    if (!this.#full)
      log.warn('no port is left to expose a check by its proxy: it asks the application itself', {
        expose_min_port: ports.min,
        expose_max_port: ports.max,
      });
    this.#full = true;
    return undefined;
  }
}

/** The path that a check asks for, and where; undefined for one that a proxy can't serve in plain text. */
function placeOf({ type }: LocalCheck): (Omit<ExposedPath, 'listenerPort'> & { readonly at: string }) | undefined {
  if (type === undefined) return undefined;
  const kind = checkKind(type);
  if (kind === 'grpc') {
    if (type.GRPCUseTLS === true) return undefined;
    try {
      const { host, port } = checkAddress((type.GRPC ?? '').split('/')[0] ?? '', 'tcp');
      return { at: host, path: GRPC_PATH, localPort: port, http2: true };
    } catch {
      return undefined; // the check itself says what is wrong
    }
  }
  if (kind !== 'http' || !URL.canParse(type.HTTP ?? '')) return undefined;
  const url = new URL(type.HTTP ?? '');
  if (url.protocol !== 'http:') return undefined;
  const at = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { at, path: url.pathname, localPort: Number(url.port) || 80, http2: false };
}

/** Ports that a proxy listens at beside its own. */
function listenerPorts({ Proxy: { Expose, Config, Upstreams } }: ServiceForm): readonly number[] {
  const paths = Array.isArray(Expose.Paths) ? (Expose.Paths as readonly { readonly ListenerPort?: unknown }[]) : [];
  return [
    ...paths.map(({ ListenerPort }) => ListenerPort),
    Config?.bind_port,
    ...(Upstreams ?? []).map(({ LocalBindPort }) => LocalBindPort),
  ].filter((port) => typeof port === 'number');
}
