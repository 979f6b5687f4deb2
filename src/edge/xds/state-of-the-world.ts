import { type EncodedResponse, encodeWhole } from './encode-response.ts';
import { type DiscoveryRequest, DiscoveryRequestSchema } from './gen/envoy/service/discovery/v3/discovery_pb.ts';
import type { XdsLimits } from './limits.ts';
import { type Answer, decoded, type Received, type XdsProtocol } from './protocol.ts';
import { type Resource, type ResourceSet, versionOf } from './resource.ts';
import { type Subscription, Subscriptions, unknownType } from './subscription.ts';
import { XDS_TYPE_INFO, XDS_TYPES, type XdsType, xdsTypeOf } from './types.ts';

/**
 * The older protocol. Clusters and listeners come as whole lists, where what is missing is gone; the others by name,
 * where only what is new is sent: answering more than that makes an Envoy ask for ever.
 */
export class StateOfTheWorldProtocol implements XdsProtocol {
  readonly #subscriptions: Subscriptions;
  #set: ResourceSet | undefined;

  constructor(limits: Pick<XdsLimits, 'subscriptions' | 'nameLength'>) {
    this.#subscriptions = new Subscriptions(limits);
  }

  receive(message: Uint8Array): Received {
    const request = decoded(DiscoveryRequestSchema, message);
    return { node: request.node, answer: this.#take(request) };
  }

  #take(request: DiscoveryRequest): Answer | undefined {
    const type = xdsTypeOf(request.typeUrl);
    if (type === undefined) throw unknownType(request.typeUrl);
    const subscription = this.#subscriptions.of(type);
    const { inFlight } = subscription;
    const isAnswer = request.responseNonce !== '';
    // An answer to something older: the answer to the newest follows.
    if (isAnswer && inFlight !== undefined && inFlight.nonce !== request.responseNonce) return undefined;
    if (!subscription.active) subscription.resumes = request.versionInfo !== '';
    this.#subscribe(subscription, request.resourceNames);
    if (!isAnswer || inFlight === undefined) return undefined;
    const error = request.errorDetail?.message;
    subscription.answered(error);
    return { type, resources: inFlight.resources, error };
  }

  takenOver(type: XdsType, name: string): string | undefined {
    return this.#subscriptions.active(type)?.takenOver(name);
  }

  update(set: ResourceSet): void {
    this.#set = set;
  }

  next(): EncodedResponse | undefined {
    if (this.#set === undefined) return undefined;
    for (const type of XDS_TYPES) {
      const subscription = this.#subscriptions.active(type);
      if (subscription === undefined || subscription.inFlight !== undefined) continue;
      if (type === 'listener' && this.#subscriptions.active('cluster')?.inFlight !== undefined) continue;
      const response = XDS_TYPE_INFO[type].wildcard
        ? this.#whole(subscription, this.#set)
        : this.#news(subscription, this.#set[type]);
      if (response !== undefined) return response;
    }
    return undefined;
  }

  /** Each message names all that is wanted; of the types that come as a whole, no name means everything. */
  #subscribe(subscription: Subscription, names: readonly string[]): void {
    if (XDS_TYPE_INFO[subscription.type].wildcard) {
      subscription.wildcard = true;
      return;
    }
    const wanted = new Set(names);
    for (const name of [...subscription.names]) {
      if (wanted.has(name)) continue;
      subscription.names.delete(name);
      subscription.sent.delete(name);
    }
    this.#subscriptions.add(subscription, names);
  }

  /** The whole list, with what is gone but still led to by listeners. */
  #whole(subscription: Subscription, set: ResourceSet): EncodedResponse | undefined {
    const { type, held } = subscription;
    const list = new Map(set[type]);
    const keeps = type === 'cluster' && this.#listenersWait(set);
    if (keeps) for (const [name, resource] of held) if (!list.has(name)) list.set(name, resource);
    if (subscription.sent.size === 0 || !sameResources(held, list)) {
      this.#subscriptions.resend(
        type,
        [...list.values()].filter(({ name, version }) => held.get(name)?.version !== version),
      );
      held.clear();
      for (const [name, resource] of list) held.set(name, resource);
      subscription.sent.set(WHOLE, '');
      return this.#send(subscription, [...list.values()]);
    }
    return undefined;
  }

  #news(subscription: Subscription, now: ReadonlyMap<string, Resource>): EncodedResponse | undefined {
    const changed: Resource[] = [];
    for (const name of subscription.names) {
      const resource = now.get(name);
      if (resource === undefined || subscription.sent.get(name) === resource.version) continue;
      if (resource.provisional === undefined || (!subscription.resumes && !subscription.sent.has(name)))
        changed.push(resource);
    }
    if (changed.length === 0) return undefined;
    for (const { name, version } of changed) subscription.sent.set(name, version);
    return this.#send(subscription, changed);
  }

  #send(subscription: Subscription, resources: readonly Resource[]): EncodedResponse {
    const nonce = this.#subscriptions.nonce();
    subscription.inFlight = { nonce, resources };
    return encodeWhole({ type: subscription.type, nonce, version: versionOf(resources), resources });
  }

  #listenersWait(set: ResourceSet): boolean {
    const listeners = this.#subscriptions.active('listener');
    if (listeners === undefined) return false;
    return listeners.inFlight !== undefined || !sameResources(listeners.held, set.listener);
  }
}

/** Stands in `sent` for the whole list. */
const WHOLE = '*';

function sameResources(a: ReadonlyMap<string, Resource>, b: ReadonlyMap<string, Resource>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, { version }] of a) if (b.get(name)?.version !== version) return false;
  return true;
}
