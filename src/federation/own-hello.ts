import { create } from '@bufbuild/protobuf';
import { type Hello, HelloSchema } from '../rpc/transport/handlers.ts';
import { PROTOCOL } from './may-federate.ts';
import type { FederationDeps } from './types.ts';

/**
 * What this server says of itself now, with the servers that it knows: those of its datacenter, and those it reaches.
 */
export function ownHello(deps: FederationDeps, reached: Iterable<Hello>): Hello {
  const { datacenter, node, nodeId, primaryDatacenter, build } = deps;
  const { trustDomain, epoch, isPrimary } = deps.identity();
  const { address, port } = deps.advertiseWan();
  const siblings = (deps.siblings?.() ?? []).map((one) => ({
    datacenter,
    node: one.node,
    nodeId: one.nodeId,
    wan: { host: one.wan.address, port: one.wan.port },
  }));
  const others = [...reached]
    .filter((hello) => hello.datacenter !== datacenter)
    .flatMap(({ datacenter: of, node: name, nodeId: id, wan }) =>
      wan === undefined ? [] : [{ datacenter: of, node: name, nodeId: id, wan }],
    );
  return create(HelloSchema, {
    protocol: PROTOCOL,
    datacenter,
    node,
    nodeId,
    wan: { host: address, port },
    primaryDatacenter,
    isPrimary,
    trustDomain: trustDomain ?? '',
    epoch,
    build,
    servers: [...siblings, ...others].sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1)),
    serverPort: deps.serverPort(),
  });
}
