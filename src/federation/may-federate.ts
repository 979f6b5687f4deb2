import type { Hello } from '../rpc/transport/handlers.ts';
import type { PeerIdentity } from '../rpc/transport/security.ts';
import type { LinkRefusal } from './link-state.ts';

/** Version of the link's protocol that is spoken, and the oldest that is understood. */
export const PROTOCOL = 1;
const OLDEST_PROTOCOL = 1;

/** What decides whether two servers may federate. */
export type Party = Pick<
  Hello,
  'protocol' | 'datacenter' | 'node' | 'nodeId' | 'primaryDatacenter' | 'isPrimary' | 'trustDomain' | 'epoch'
>;

/**
 * Why `own` must not federate with `other`, or undefined when it may. Both sides evaluate it by themselves.
 * @param alive servers that `own` holds links with at the moment
 * @param left epochs that a server was seen to leave, by a restore of its store; as {@link epochKey}
 */
export function refusalBetween(
  own: Party,
  other: Party,
  alive: Iterable<Party>,
  left: ReadonlySet<string> = NONE_LEFT,
): LinkRefusal | undefined {
  /** Servers of one store hear of a restore one after the other. */
  const sameStore = (one: Party, two: Party): boolean =>
    one.epoch === two.epoch || left.has(epochKey(one)) || left.has(epochKey(two));
  if (other.protocol < OLDEST_PROTOCOL) {
    return refuse(
      'protocol',
      `node "${other.node}" of datacenter "${other.datacenter}" speaks version ${other.protocol} of the federation ` +
        `protocol; at least ${OLDEST_PROTOCOL} is needed: upgrade it`,
    );
  }
  if (other.nodeId === own.nodeId) {
    if (other.datacenter === own.datacenter && other.node === own.node)
      return refuse('self', 'this address leads back to this server');
    return refuse(
      'datacenter',
      `node "${other.node}" of datacenter "${other.datacenter}" has the same node ID as node "${own.node}" of ` +
        `datacenter "${own.datacenter}": was a data directory copied?`,
    );
  }
  if (other.datacenter === own.datacenter && !sameStore(other, own)) return sameName(own, other);
  const [first, second] = inOrder(own, other);
  if (own.datacenter !== other.datacenter && own.isPrimary && other.isPrimary) {
    return refuse(
      'primary',
      `datacenters "${first.datacenter}" and "${second.datacenter}" both claim to be the primary: set ` +
        `primary_datacenter to the same name in both`,
    );
  }
  if (own.primaryDatacenter !== other.primaryDatacenter) {
    return refuse(
      'primary',
      `primary_datacenter is "${first.primaryDatacenter}" in datacenter "${first.datacenter}" and ` +
        `"${second.primaryDatacenter}" in datacenter "${second.datacenter}": set it to the same name in both`,
    );
  }
  if (own.trustDomain !== '' && other.trustDomain !== '' && own.trustDomain !== other.trustDomain) {
    return refuse(
      'trust_domain',
      `the trust domain of datacenter "${first.datacenter}" is "${first.trustDomain}" and that of datacenter ` +
        `"${second.datacenter}" is "${second.trustDomain}": their certificates were made by different authorities`,
    );
  }
  for (const third of alive) {
    if (third.datacenter !== other.datacenter || third.nodeId === other.nodeId || sameStore(third, other)) continue;
    return sameName(third, other);
  }
  return undefined;
}

/** An epoch counts for its own datacenter: what one says of its own store says nothing about another's. */
export function epochKey({ datacenter, epoch }: Pick<Party, 'datacenter' | 'epoch'>): string {
  return `${datacenter}/${epoch}`;
}

/** A server is of the datacenter that its certificate says. @param peer undefined where identities are not checked */
export function certificateRefusal(hello: Party, peer: PeerIdentity | undefined): LinkRefusal | undefined {
  if (peer === undefined || peer.serverOf.includes(hello.datacenter)) return undefined;
  const is = peer.serverOf.length === 0 ? 'no server' : `a server of "${peer.serverOf.join('", "')}"`;
  return refuse(
    'certificate',
    `node "${hello.node}" says that it is a server of datacenter "${hello.datacenter}", but by its certificate ` +
      `(${peer.name}) it is ${is}: its certificate must hold the name server.${hello.datacenter}.<domain>`,
  );
}

const NONE_LEFT: ReadonlySet<string> = new Set();

/** The same order on both sides, so that both say the same text. */
function inOrder(one: Party, other: Party): readonly [Party, Party] {
  const before = one.datacenter === other.datacenter ? one.node < other.node : one.datacenter < other.datacenter;
  return before ? [one, other] : [other, one];
}

function sameName(one: Party, other: Party): LinkRefusal {
  const [first, second] = inOrder(one, other);
  return refuse(
    'datacenter',
    `nodes "${first.node}" and "${second.node}" both say that they serve datacenter "${other.datacenter}", but their ` +
      'stores are not the same: give one datacenter another name; if they are to be servers of one datacenter, give ' +
      'them one ' +
      'store (storage { engine = "etcd" })',
  );
}

function refuse(code: string, reason: string): LinkRefusal {
  return { code, reason };
}
