import { BY_SERVERS } from '../../../agent/access/rules.ts';
import type { SnapshotContract } from '../../../rpc/contract/snapshots.ts';
import { EMPTY, type QueryParameter, type Route } from '../route.ts';
import { callOptions } from '../write-route.ts';

export interface SnapshotRouteDeps {
  readonly snapshots: SnapshotContract;
}

const DATACENTER: QueryParameter = {
  name: 'dc',
  about: 'Datacenter that is saved or restored; default the agent’s own.',
};

/** The store of a datacenter, out and in. */
export function snapshotRoutes({ snapshots }: SnapshotRouteDeps): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/snapshot',
      about: 'An archive of everything that the datacenter’s store holds, at one revision.',
      acl: 'management',
      rule: BY_SERVERS,
      query: [
        { name: 'stale', about: 'Accepted; the state is never older than the request.', effect: 'none' },
        DATACENTER,
      ],
      async handle(request) {
        const { index, archive } = await snapshots.save(callOptions(request));
        return {
          stream: archive,
          contentType: 'application/x-gzip',
          headers: {
            'X-Consul-Index': String(index),
            'X-Consul-Knownleader': 'true',
            'X-Consul-Lastcontact': '0',
          },
        };
      },
    },
    {
      method: 'PUT',
      path: '/v1/snapshot',
      about: 'Replaces everything that the datacenter’s store holds by an archive, in one step or not at all.',
      acl: 'management',
      rule: BY_SERVERS,
      body: 'stream',
      query: [{ name: 'force', about: 'Also an archive of another datacenter or trust domain.' }, DATACENTER],
      async handle(request) {
        const { index } = await snapshots.restore(request.bodyStream, {
          ...callOptions(request),
          force: request.query.has('force'),
        });
        return { ...EMPTY, headers: { 'X-Consul-Index': String(index) } };
      },
    },
  ];
}
