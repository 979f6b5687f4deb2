import type { Clock } from '../../lib/clock.ts';
import type { EnvoyRejection, EnvoyStatus, EnvoyTypeStatus } from '../../model/envoy.ts';
import type { Resource } from './resource.ts';
import type { Problem } from './resources/problems.ts';
import type { XdsType } from './types.ts';
import { XDS_TYPE_INFO } from './types.ts';

/** Characters of Envoy's reason that are kept. */
const MAX_REASON = 1_000;
/** Rejections that are kept of one Envoy. */
const MAX_REJECTED = 100;
/** Type of what the agent could not carry out itself. */
const OPTION = 'option';

/** One message of a type is under way at a time: what is answered is what was sent last. */
interface TypeStatus {
  sent: number;
  version: string;
  acknowledged: string | undefined;
  acknowledgedAt: number;
  rejection: EnvoyTypeStatus['LastRejection'];
}

/** One stream, as it goes. */
export class StreamStatus {
  readonly proxyId: string;
  readonly #clock: Clock;
  readonly #about: { readonly address: string; readonly protocol: string; readonly connectedAt: string };
  readonly #types = new Map<XdsType, TypeStatus>();
  readonly #rejected = new Map<string, EnvoyRejection>();
  readonly #problems = new Map<string, EnvoyRejection>();
  service = '';

  constructor(clock: Clock, about: { readonly proxyId: string; readonly address: string; readonly protocol: string }) {
    const { proxyId, ...rest } = about;
    this.proxyId = proxyId;
    this.#clock = clock;
    this.#about = { ...rest, connectedAt: this.#now() };
  }

  sent(type: XdsType, count: number, version: string): void {
    const status = this.#of(type);
    status.sent += count;
    status.version = version;
  }

  accepted(type: XdsType, resources: readonly Resource[]): void {
    const status = this.#of(type);
    status.acknowledged = status.version;
    status.acknowledgedAt = this.#clock.now();
    if (this.#rejected.size === 0) return;
    for (const { name } of resources) this.#rejected.delete(keyOf(type, name));
  }

  /** @returns what was rejected now and was not before. */
  rejected(type: XdsType, resources: readonly Resource[], error: string): readonly EnvoyRejection[] {
    const status = this.#of(type);
    status.rejection = { Version: status.version, Error: error.slice(0, MAX_REASON), At: this.#now() };
    const named = resources.filter(({ name }) => error.includes(name));
    const news: EnvoyRejection[] = [];
    for (const { name, version } of named.length > 0 ? named : resources) {
      const key = keyOf(type, name);
      const before = this.#rejected.get(key);
      const rejection = {
        Type: XDS_TYPE_INFO[type].service,
        Resource: name,
        Version: version,
        Error: error.slice(0, MAX_REASON),
        At: this.#now(),
      };
      if (before === undefined && this.#rejected.size >= MAX_REJECTED) continue;
      this.#rejected.set(key, rejection);
      if (before?.Version !== version) news.push(rejection);
    }
    return news;
  }

  /** Options that can't be carried out now. @returns those that are new. */
  without(problems: readonly Problem[]): readonly Problem[] {
    const kept = problems.slice(0, MAX_REJECTED);
    const news = kept.filter(({ option, why }) => this.#problems.get(option)?.Error !== why);
    const before = new Map(this.#problems);
    this.#problems.clear();
    for (const { option, why } of kept) {
      const same = before.get(option);
      const rejection = {
        Type: OPTION,
        Resource: option,
        Version: '',
        Error: why.slice(0, MAX_REASON),
        At: this.#now(),
      };
      this.#problems.set(option, same?.Error === rejection.Error ? same : rejection);
    }
    return news;
  }

  report(): EnvoyStatus {
    const { address, protocol, connectedAt } = this.#about;
    const types = [...this.#types].map(([type, status]) => [XDS_TYPE_INFO[type].service, reportOf(status)]);
    return {
      ProxyID: this.proxyId,
      Service: this.service,
      Address: address,
      Protocol: protocol,
      ConnectedAt: connectedAt,
      Types: Object.fromEntries(types),
      Rejected: [...this.#rejected.values(), ...this.#problems.values()],
    };
  }

  #of(type: XdsType): TypeStatus {
    let known = this.#types.get(type);
    if (known === undefined) {
      known = { sent: 0, version: '', acknowledged: undefined, acknowledgedAt: 0, rejection: undefined };
      this.#types.set(type, known);
    }
    return known;
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}

function reportOf({ sent, version, acknowledged, acknowledgedAt, rejection }: TypeStatus): EnvoyTypeStatus {
  return {
    Sent: sent,
    ...(version === '' ? {} : { SentVersion: version }),
    ...(acknowledged === undefined || acknowledged === '' ? {} : { AcknowledgedVersion: acknowledged }),
    ...(acknowledgedAt === 0 ? {} : { AcknowledgedAt: new Date(acknowledgedAt).toISOString() }),
    ...(rejection === undefined ? {} : { LastRejection: rejection }),
  };
}

function keyOf(type: XdsType, name: string): string {
  return `${type}\0${name}`;
}
