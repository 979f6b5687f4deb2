import type { IncomingMessage } from 'node:http';
import type { CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

export interface SnapshotsApi {
  /** The archive as it arrives. A stream that breaks off is of no use. */
  save(call?: CallOptions): Promise<{ readonly index: number; readonly archive: IncomingMessage }>;
  /**
   * Resolves with the revision of the restored state. `force`: also an archive of another datacenter or trust domain.
   */
  restore(
    archive: AsyncIterable<Uint8Array>,
    options?: { readonly force?: boolean },
    call?: CallOptions,
  ): Promise<number>;
}

export function createSnapshotsApi(transport: Transport): SnapshotsApi {
  return {
    async save(call = {}) {
      const archive = await transport.stream({ method: 'GET', path: '/v1/snapshot', call });
      return { index: Number(archive.headers['x-consul-index'] ?? 0), archive };
    },
    async restore(archive, { force = false } = {}, call = {}) {
      const query = force ? { force: 'true' } : {};
      const answer = await transport.answer({ method: 'PUT', path: '/v1/snapshot', query, upload: archive, call });
      return Number(answer.headers['x-consul-index'] ?? 0);
    },
  };
}
