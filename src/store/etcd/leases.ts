import { create } from '@bufbuild/protobuf';
import { IsthmusError } from '../../lib/errors.ts';
import type { Lease } from '../engine.ts';
import type { EtcdClient } from './client.ts';
import { CallFailure } from './failure.ts';
import {
  LeaseGrantRequestSchema,
  LeaseKeepAliveRequestSchema,
  type LeaseKeepAliveResponse,
  LeaseRevokeRequestSchema,
  LeaseTimeToLiveRequestSchema,
} from './gen/etcdserverpb/etcd_pb.ts';
import { METHODS } from './wire.ts';

/**
 * etcd's leases. Their times are whole seconds, and it gives none shorter than its election takes (2 s as installed).
 */
export class EtcdLeases {
  readonly #client: EtcdClient;
  /** Revoked here: what is asked from then on must not race with the call under way. */
  readonly #revoked = new Set<string>();

  constructor(client: EtcdClient) {
    this.#client = client;
  }

  async grant(ttlMs: number): Promise<Lease> {
    const request = create(LeaseGrantRequestSchema, { TTL: BigInt(Math.max(1, Math.ceil(ttlMs / 1_000))) });
    // Asked twice when an answer is lost: the first lease then ends by itself.
    const reply = await this.#client.call('grant a lease', METHODS.leaseGrant, request);
    if (reply.error !== '') throw new IsthmusError('unavailable', `etcd granted no lease: ${reply.error}`);
    return { id: String(reply.ID), ttlMs: Number(reply.TTL) * 1_000 };
  }

  async keep(id: string): Promise<void> {
    const number = this.require(id);
    const reply = await this.#client.run('keep a lease', () => this.#keepOnce(number));
    if (reply.TTL <= 0n) throw ended(id);
  }

  async revoke(id: string): Promise<void> {
    const number = leaseNumber(id);
    if (number === undefined || this.#revoked.has(id)) return;
    this.#revoked.add(id);
    const request = create(LeaseRevokeRequestSchema, { ID: number });
    try {
      await this.#client.run('end a lease', async () => {
        try {
          await this.#client.attempt(METHODS.leaseRevoke, request);
        } catch (thrown) {
          if (!(thrown instanceof CallFailure && thrown.is('lease not found'))) throw thrown;
        }
      });
    } finally {
      this.#revoked.delete(id); // etcd knows it by now, or it lives on
    }
  }

  /** Throws `not_found` when the lease is known to have ended. */
  require(id: string): bigint {
    const number = leaseNumber(id);
    if (number === undefined || this.#revoked.has(id)) throw ended(id);
    return number;
  }

  async lives(id: string): Promise<boolean> {
    const request = create(LeaseTimeToLiveRequestSchema, { ID: this.require(id) });
    const reply = await this.#client.call('look at a lease', METHODS.leaseTimeToLive, request);
    return reply.TTL > 0n;
  }

  /** etcd keeps leases over a stream; one for each question is simple and costs a round trip. */
  async #keepOnce(id: bigint): Promise<LeaseKeepAliveResponse> {
    return this.#client.exchange(METHODS.leaseKeepAlive, create(LeaseKeepAliveRequestSchema, { ID: id }));
  }
}

export function ended(id: string): IsthmusError {
  return new IsthmusError('not_found', `lease ${id} has ended`);
}

/** etcd's number of a lease, or undefined for what it never gave. */
function leaseNumber(id: string): bigint | undefined {
  return /^[1-9][0-9]{0,18}$/.test(id) ? BigInt(id) : undefined;
}
