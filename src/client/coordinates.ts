import type { DatacenterCoordinates, NodeCoordinate } from '../model/coordinate.ts';
import type { CallOptions } from './options.ts';
import type { Transport } from './transport.ts';

export interface CoordinatesApi {
  /** Of the servers, by datacenter. */
  datacenters(call?: CallOptions): Promise<readonly DatacenterCoordinates[]>;
  /** Of the nodes within the datacenter. */
  nodes(call?: CallOptions): Promise<readonly NodeCoordinate[]>;
}

export function createCoordinatesApi(transport: Transport): CoordinatesApi {
  const get = async <T>(path: string, call: CallOptions = {}): Promise<T> =>
    (await transport.json<T>({ method: 'GET', path, call })).value;
  return {
    datacenters: (call) => get('/v1/coordinate/datacenters', call),
    nodes: (call) => get('/v1/coordinate/nodes', call),
  };
}
