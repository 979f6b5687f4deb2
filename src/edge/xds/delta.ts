import { type EncodedResponse, encodeDelta } from './encode-response.ts';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
} from './gen/envoy/service/discovery/v3/discovery_pb.ts';
import type { XdsLimits } from './limits.ts';
import { type Answer, decoded, plainAnswer, type Received, type XdsProtocol } from './protocol.ts';
import type { Resource, ResourceSet } from './resource.ts';
import { type Subscription, Subscriptions, unknownType } from './subscription.ts';
import { XDS_TYPE_INFO, XDS_TYPES, type XdsType, xdsTypeOf } from './types.ts';

/** The incremental protocol: only what changed is sent, and what is gone is named. */
export class DeltaProtocol implements XdsProtocol {
  readonly #subscriptions: Subscriptions;
  #set: ResourceSet | undefined;

  constructor(limits: Pick<XdsLimits, 'subscriptions' | 'nameLength'>) {
    this.#subscriptions = new Subscriptions(limits);
  }

  receive(message: Uint8Array): Received {
    const plain = plainAnswer(message, { typeUrl: 2, nonce: 6 });
    const answered = this.#subscriptions.active(xdsTypeOf(plain?.typeUrl ?? ''));
    if (plain !== undefined && answered !== undefined)
      return { node: undefined, answer: confirmed(answered, plain.nonce) };
    const request = decoded(DeltaDiscoveryRequestSchema, message);
    return { node: request.node, answer: this.#take(request) };
  }

  #take(request: DeltaDiscoveryRequest): Answer | undefined {
    const type = xdsTypeOf(request.typeUrl);
    if (type === undefined) throw unknownType(request.typeUrl);
    const subscription = this.#subscriptions.of(type);
    const isFirst = !subscription.active;
    subscription.settled = undefined;
    this.#subscribe(subscription, request.resourceNamesSubscribe, isFirst);
    for (const name of request.resourceNamesUnsubscribe) unsubscribe(subscription, name);
    if (isFirst)
      for (const [name, version] of Object.entries(request.initialResourceVersions))
        if (subscription.wants(name)) subscription.sent.set(name, version);
    const { inFlight } = subscription;
    if (inFlight === undefined || inFlight.nonce !== request.responseNonce) return undefined;
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
      if (subscription.settled === this.#set[type]) continue;
      const response = this.#difference(subscription, this.#set);
      if (response !== undefined) return response;
    }
    return undefined;
  }

  /** A name that is subscribed to again is answered again. */
  #subscribe(subscription: Subscription, names: readonly string[], isFirst: boolean): void {
    const named = names.filter((name) => name !== '*');
    if (named.length < names.length || (isFirst && names.length === 0 && XDS_TYPE_INFO[subscription.type].wildcard))
      subscription.wildcard = true;
    this.#subscriptions.add(subscription, named);
    for (const name of named) subscription.sent.delete(name);
  }

  #difference(subscription: Subscription, set: ResourceSet): EncodedResponse | undefined {
    const { type, sent } = subscription;
    const now = set[type];
    const changed: Resource[] = [];
    const removed: string[] = [];
    for (const resource of wanted(subscription, now))
      if (isNews(resource, sent.get(resource.name))) changed.push(resource);
    // Of what is asked for by name nothing is said to be gone: it may not be known yet, and an Envoy that has no use
    // for it any longer takes its name back.
    if (subscription.wildcard) for (const name of sent.keys()) if (!now.has(name)) removed.push(name);
    // What listeners lead to goes after them.
    const keeps = type === 'cluster' && removed.length > 0 && this.#listenersWait(set);
    if (keeps) removed.length = 0;
    if (changed.length === 0 && removed.length === 0) {
      if (!keeps) subscription.settled = now;
      return undefined;
    }
    for (const { name, version } of changed) sent.set(name, version);
    this.#subscriptions.resend(type, changed);
    for (const name of removed) sent.delete(name);
    const nonce = this.#subscriptions.nonce();
    subscription.inFlight = { nonce, resources: changed };
    return encodeDelta({ type, nonce, resources: changed, removed });
  }

  /** Listeners or routes still have to change, or have not confirmed that they did. */
  #listenersWait(set: ResourceSet): boolean {
    return (['listener', 'route'] as const).some((type) => {
      const subscription = this.#subscriptions.active(type);
      if (subscription === undefined) return false;
      if (subscription.inFlight !== undefined) return true;
      const now = set[type];
      for (const resource of wanted(subscription, now))
        if (isNews(resource, subscription.sent.get(resource.name))) return true;
      return subscription.wildcard && [...subscription.sent.keys()].some((name) => !now.has(name));
    });
  }
}

function confirmed(subscription: Subscription, nonce: string): Answer | undefined {
  const { type, inFlight } = subscription;
  if (inFlight?.nonce !== nonce) return undefined;
  subscription.answered(undefined);
  return { type, resources: inFlight.resources, error: undefined };
}

/** @param had version of it that the Envoy has. */
function isNews({ version, provisional }: Resource, had: string | undefined): boolean {
  return had === undefined || (had !== version && provisional === undefined);
}

function unsubscribe(subscription: Subscription, name: string): void {
  if (name === '*') subscription.wildcard = false;
  subscription.names.delete(name);
  if (!subscription.wildcard) subscription.sent.delete(name);
}

function* wanted(subscription: Subscription, now: ReadonlyMap<string, Resource>): Iterable<Resource> {
  if (subscription.wildcard) yield* now.values();
  else
    for (const name of subscription.names) {
      const resource = now.get(name);
      if (resource !== undefined) yield resource;
    }
}
