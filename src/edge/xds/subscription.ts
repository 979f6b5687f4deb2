import { IsthmusError } from '../../lib/errors.ts';
import type { XdsLimits } from './limits.ts';
import type { Resource } from './resource.ts';
import { XDS_TYPE_INFO, type XdsType } from './types.ts';

/** Sent, and not answered yet. */
export interface InFlight {
  readonly nonce: string;
  readonly resources: readonly Resource[];
}

/** One type on one stream: what the Envoy wants of it, what it has, what it has not answered yet. */
export class Subscription {
  readonly type: XdsType;
  readonly names = new Set<string>();
  /** Versions of what it has, by name. */
  readonly sent = new Map<string, string>();
  /** Versions that it rejected, by name: they are not sent again. */
  readonly rejected = new Map<string, string>();
  /** The resources themselves, as long as it has them. */
  readonly held = new Map<string, Resource>();
  wildcard = false;
  /** It had resources of this type before the stream began; of which names, state of the world doesn't say. */
  resumes = false;
  inFlight: InFlight | undefined;
  /** The resources in which nothing to send was found, as long as nothing else was asked for. */
  settled: ReadonlyMap<string, Resource> | undefined;

  constructor(type: XdsType) {
    this.type = type;
  }

  get active(): boolean {
    return this.wildcard || this.names.size > 0;
  }

  /** The version of a resource that the Envoy is known to have taken over. */
  takenOver(name: string): string | undefined {
    const version = this.sent.get(name);
    const waits = this.inFlight?.resources.some((resource) => resource.name === name) === true;
    return waits || this.rejected.get(name) === version ? undefined : version;
  }

  /** Sends it again, known or not. */
  forget(name: string): void {
    this.sent.delete(name);
    this.resumes = false;
    this.settled = undefined;
  }

  /** Its answer to what is in flight. */
  answered(error: string | undefined): void {
    for (const { name, version } of this.inFlight?.resources ?? []) {
      if (error === undefined) this.rejected.delete(name);
      else this.rejected.set(name, version);
    }
    this.inFlight = undefined;
  }

  wants(name: string): boolean {
    return this.wildcard || this.names.has(name);
  }
}

/** The subscriptions of one stream, within its bounds. */
export class Subscriptions {
  readonly #limits: Pick<XdsLimits, 'subscriptions' | 'nameLength'>;
  readonly #byType = new Map<XdsType, Subscription>();
  #nonces = 0;

  constructor(limits: Pick<XdsLimits, 'subscriptions' | 'nameLength'>) {
    this.#limits = limits;
  }

  of(type: XdsType): Subscription {
    let subscription = this.#byType.get(type);
    if (subscription === undefined) {
      subscription = new Subscription(type);
      this.#byType.set(type, subscription);
    }
    return subscription;
  }

  /** Undefined: nothing of this type was asked for. */
  active(type: XdsType | undefined): Subscription | undefined {
    const subscription = type === undefined ? undefined : this.#byType.get(type);
    return subscription?.active === true ? subscription : undefined;
  }

  /** Throws when there would be too many. */
  add(subscription: Subscription, names: readonly string[]): void {
    const { subscriptions, nameLength } = this.#limits;
    for (const name of names) {
      if (name.length > nameLength)
        throw new IsthmusError('rejected', `a name of more than ${nameLength} characters was subscribed to`);
      subscription.names.add(name);
    }
    let total = 0;
    for (const { names: each } of this.#byType.values()) total += each.size;
    if (total > subscriptions)
      throw new IsthmusError('rejected', `more than ${subscriptions} names are subscribed to on one stream`);
  }

  /**
   * A changed cluster or listener waits for its endpoints or routes before it is used, and Envoy does not ask for what
   * it has subscribed to already: they are sent again.
   */
  resend(type: XdsType, changed: readonly Resource[]): void {
    if (type === 'cluster') for (const { name } of changed) this.active('endpoints')?.forget(name);
    const routes = type === 'listener' && changed.length > 0 ? this.active('route') : undefined;
    for (const name of routes?.names ?? []) routes?.forget(name);
  }

  nonce(): string {
    this.#nonces += 1;
    return this.#nonces.toString(16).padStart(8, '0');
  }
}

/** `type_url` of a message: Envoy asks only for types that its configuration names. */
export function unknownType(url: string): IsthmusError {
  const known = Object.values(XDS_TYPE_INFO).map(({ service }) => service);
  return new IsthmusError(
    'rejected',
    `resources of type ${JSON.stringify(url.slice(0, 200))} are not served, only ${known.join(', ')}`,
  );
}
