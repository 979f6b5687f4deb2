import { isIP } from 'node:net';
import type { NodeAgentInfo, Proved } from '../domain/nodes/nodes.ts';
import { hasCode } from '../lib/errors.ts';
import { isUuid } from '../lib/ids.ts';
import { metadataFault } from '../model/metadata.ts';
import { tryName } from '../model/names.ts';
import type { Caller, Callers, Rights } from '../model/rights.ts';
import { isProven, newChallenge, nodeKeyId } from '../pki/node-key.ts';
import {
  type AgentHello,
  SESSION_PROTOCOL,
  type SessionMessage,
  type SessionStream,
} from '../rpc/transport/handlers.ts';

/** Why an agent's session is not taken. */
export interface SessionRefusal {
  /** "protocol", "datacenter", "name", "certificate", "key", "permission". */
  readonly reason: string;
  readonly message: string;
}

export interface SessionEntryDeps {
  readonly datacenter: string;
  /** Absent where access control is off. */
  readonly callers?: Pick<Callers, 'resolve'>;
  /** The key that the node is bound to, as `nodeKeyId` has it. */
  readonly boundKey: (node: string) => string | undefined;
  /** Names of the nodes that are known by this ID: a session under another name takes their place. */
  readonly withId: (nodeId: string) => readonly string[];
}

/** What was found out about an agent: what it may be, or why not. */
export type Entered = { readonly info: NodeAgentInfo; readonly proved: Proved } | { readonly refusal: SessionRefusal };

/** Longest host name, and most tags, of an agent. */
const MAX_ADDRESS = 255;
const MAX_TAGS = 32;
const MAX_TAG = 256;

/** Finds out who an agent is and what it has proved: by its certificate, its key and its token. */
export async function enterSession(
  { datacenter, callers, boundKey, withId }: SessionEntryDeps,
  hello: AgentHello,
  stream: SessionStream,
  next: () => Promise<SessionMessage | undefined>,
  signal: AbortSignal,
): Promise<Entered> {
  const { node, nodeId, publicKey, token } = hello;
  const refusal = faultOf(hello, datacenter) ?? certificateFault(hello, datacenter, stream);
  if (refusal !== undefined) return { refusal };
  let key: string | undefined;
  if (publicKey.length > 0) {
    const nonce = newChallenge();
    stream.send({ message: { case: 'challenge', value: { nonce } } });
    const answer = (await next())?.message;
    const signature = answer?.case === 'proof' ? answer.value.signature : new Uint8Array();
    if (!isProven(publicKey, { datacenter, node, nodeId, nonce }, signature))
      return refuse('key', 'the agent did not prove that it holds the key that it names');
    key = nodeKeyId(publicKey);
  }
  let caller: Caller | undefined;
  try {
    caller = await callers?.resolve(token, signal);
  } catch (thrown) {
    if (hasCode(thrown, 'permission_denied')) return { refusal: unknownToken(thrown.message) };
    throw thrown;
  }
  const undecided = caller?.undecided === true;
  // A node that was let in before, and proves that it is the same one, is let in again while the primary is away.
  if (caller !== undefined && !(undecided && key !== undefined && boundKey(node) === key)) {
    const fault = tokenFault([node, ...withId(nodeId)], caller.rights);
    if (fault !== undefined) return { refusal: undecided ? UNDECIDED : fault };
  }
  return {
    info: infoOf(hello, datacenter),
    proved: { ...(key === undefined ? {} : { key }), mayReplace: caller !== undefined && !undecided },
  };
}

const UNDECIDED: SessionRefusal = {
  reason: 'permission',
  message: `the agent's token is one of the primary datacenter, which can't be asked now: try again once it is reached`,
};

/** Why a token does not let an agent be a node, and take the place of others. */
export function tokenFault(nodes: readonly string[], rights: Rights): SessionRefusal | undefined {
  const missing = nodes.find((node) => !rights.may('node', node, 'write'));
  if (missing === undefined) return undefined;
  const message = `the agent's token needs node:write on ${missing}: set acl.tokens.agent to one that has it`;
  return { reason: 'permission', message };
}

export function unknownToken(why: string): SessionRefusal {
  return { reason: 'permission', message: `the agent's token is not known (${why}): set acl.tokens.agent` };
}

/** What is wrong with what the agent says of itself. */
function faultOf(hello: AgentHello, own: string): SessionRefusal | undefined {
  const { protocol, datacenter, node, nodeId, address, meta, taggedAddresses } = hello;
  if (protocol < SESSION_PROTOCOL)
    return {
      reason: 'protocol',
      message: `the agent speaks protocol ${protocol}, this server ${SESSION_PROTOCOL} and later`,
    };
  if (datacenter !== own)
    return {
      reason: 'datacenter',
      message:
        `this server is of the datacenter ${own}, the agent of ${datacenter}: correct its "datacenter" or ` +
        `"retry_join"`,
    };
  const name = (message: string): SessionRefusal => ({ reason: 'name', message });
  if (tryName(node) === undefined) return name(`the agent's node has no name that can be used: set node_name`);
  if (!isUuid(nodeId)) return name(`the agent's node ID is no UUID: correct node_id`);
  const addresses = [address, ...Object.values(taggedAddresses)];
  if (addresses.length > MAX_TAGS || !addresses.every(isHost)) return name(`the agent's addresses are not usable`);
  const fault = metadataFault(meta, true);
  return fault === undefined ? undefined : name(fault);
}

/** A certificate is of one datacenter, and may be of one node. */
function certificateFault({ node }: AgentHello, own: string, { identity }: SessionStream): SessionRefusal | undefined {
  if (identity === undefined) return undefined;
  const of = [...identity.serverOf, ...identity.clientOf];
  if (of.length > 0 && !of.includes(own))
    return {
      reason: 'certificate',
      message:
        `by its certificate (${identity.name}) the agent is of datacenter ${of.join(', ')}, and this server ` +
        `of ${own}`,
    };
  if (identity.node !== undefined && identity.node !== tryName(node))
    return {
      reason: 'certificate',
      message: `the agent's certificate is for the node ${identity.node}, and it says that it is ${node}`,
    };
  return undefined;
}

function isHost(text: string): boolean {
  return isIP(text) !== 0 || (text.length <= MAX_ADDRESS && /^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(text));
}

function refuse(reason: string, message: string): Entered {
  return { refusal: { reason, message } };
}

/** Role, datacenter and ID stand in the tags that clients look for: an agent says nothing else about them there. */
function infoOf(hello: AgentHello, datacenter: string): NodeAgentInfo {
  const said = Object.entries(hello.tags).filter(([key, value]) => key.length <= MAX_TAG && value.length <= MAX_TAG);
  return {
    Node: hello.node,
    ID: hello.nodeId,
    Role: 'client',
    Addr: hello.address,
    Port: 0,
    Tags: { ...Object.fromEntries(said.slice(0, MAX_TAGS)), dc: datacenter, id: hello.nodeId, role: 'node' },
    TaggedAddresses: hello.taggedAddresses,
    Meta: hello.meta,
  };
}
