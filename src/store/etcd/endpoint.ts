import { IsthmusError } from '../../lib/errors.ts';

/** Where a member of the etcd cluster takes clients. */
export interface Endpoint {
  /** As the configuration gives it, for logs and errors. */
  readonly name: string;
  /** `host:port`. */
  readonly address: string;
  readonly secure: boolean;
}

const DEFAULT_PORT = '2379';

/** Reads `https://host:2379`, `http://host` or `host:port`; without a scheme `secure` decides. */
export function parseEndpoint(name: string, secure: boolean): Endpoint {
  const given = /^(?:(https?):\/\/)?([^/]+)\/?$/.exec(name.trim());
  const [, scheme, authority = ''] = given ?? [];
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^:[\]@]+)(?::([0-9]{1,5}))?$/.exec(authority);
  if (parts === null) {
    throw new IsthmusError(
      'invalid_argument',
      `the etcd endpoint ${JSON.stringify(name)} must be host:port, http://host:port or https://host:port`,
    );
  }
  const [, host, port = DEFAULT_PORT] = parts;
  return { name, address: `${host}:${port}`, secure: scheme === undefined ? secure : scheme === 'https' };
}
