import { isIP } from 'node:net';
import { parseAddress } from '../lib/address.ts';
import { tryParseDuration } from '../lib/duration.ts';
import type { Reject } from './build.ts';
import type { Values } from './keys/table.ts';

const DNS_PORT = 53;

const DATACENTER = /^[a-z0-9_-]+$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Kept from the peer: 64 pairs, keys up to 128 and values up to 512 characters, one reserved prefix. */
const META = { pairs: 64, key: 128, value: 512, reserved: 'consul-' } as const;

/** Rules that span more than one value or go beyond its type. The first broken one is thrown. */
export function checkValues(values: Values, dev: boolean, reject: Reject): void {
  if (values.data_dir === '' && !dev) reject('data_dir', 'data_dir cannot be empty');
  if (values['audit.enabled'] && values['audit.sink'].length === 0 && values.data_dir === '')
    reject('audit.enabled', '"audit.enabled" needs a sink, since there is no data directory');
  checkNames(values, reject);
  checkMeta(values, reject);
  checkPorts(values, reject);
  checkQueries(values, reject);
  for (const path of ['services', 'service'] as const) {
    for (const service of values[path]) {
      if (typeof service.Name !== 'string' || service.Name === '') reject(path, 'a service without "name"');
    }
  }
  for (const path of ['checks', 'check'] as const) {
    for (const check of values[path]) {
      if (typeof check.Name !== 'string' || check.Name === '') reject(path, 'a check without "name"');
    }
  }
  if (!['consul', 'vault', 'aws-pca'].includes(values['connect.ca_provider'])) {
    reject(
      'connect.ca_provider',
      `"connect.ca_provider" knows no provider ${JSON.stringify(values['connect.ca_provider'])}`,
    );
  }
}

function checkNames(values: Values, reject: Reject): void {
  const datacenter = values.datacenter.toLowerCase();
  if (datacenter === '') reject('datacenter', 'datacenter cannot be empty');
  for (const path of ['datacenter', 'primary_datacenter'] as const) {
    const name = values[path].toLowerCase();
    if (name !== '' && !DATACENTER.test(name)) {
      reject(path, `${path} cannot be ${JSON.stringify(values[path])}. Please use only [a-z0-9-_]`);
    }
  }
  if (values.node_id !== '' && !UUID.test(values.node_id)) {
    reject('node_id', `"node_id" must be a UUID, not ${JSON.stringify(values.node_id)}`);
  }
}

function checkMeta(values: Values, reject: Reject): void {
  const pairs = Object.entries(values.node_meta);
  if (pairs.length > META.pairs) {
    reject('node_meta', `node_meta invalid: Node metadata cannot contain more than ${META.pairs} key/value pairs`);
  }
  for (const [key, value] of pairs) {
    if (key === '') reject('node_meta', 'node_meta invalid: Key cannot be blank');
    if (!/^[a-zA-Z0-9_-]+$/.test(key)) {
      reject(
        'node_meta',
        `node_meta invalid: Couldn't load metadata pair ('${key}', '${value}'): Key contains invalid characters`,
      );
    }
    if (key.length > META.key || value.length > META.value) {
      reject(
        'node_meta',
        `node_meta invalid: pair "${key}" is too long (key ${META.key}, value ${META.value} characters)`,
      );
    }
    if (key.startsWith(META.reserved)) {
      reject('node_meta', `node_meta invalid: key prefix '${META.reserved}' is reserved for internal use`);
    }
  }
}

function checkPorts(values: Values, reject: Reject): void {
  if (values['ports.sidecar_max_port'] < values['ports.sidecar_min_port']) {
    reject('ports.sidecar_max_port', '"ports.sidecar_max_port" must not be below "ports.sidecar_min_port"');
  }
  if (values.server && values['ports.server'] < 0) reject('ports.server', '"ports.server" cannot be off on a server');
}

function checkQueries(values: Values, reject: Reject): void {
  for (const [name, ttl] of Object.entries(values['dns_config.service_ttl'])) {
    if (tryParseDuration(ttl) === undefined) {
      reject(
        'dns_config.service_ttl',
        `"dns_config.service_ttl.${name}" must be a duration such as "5s", not ${JSON.stringify(ttl)}`,
      );
    }
  }
  for (const recursor of values.recursors) {
    try {
      parseAddress(recursor, DNS_PORT);
    } catch {
      reject(
        'recursors',
        `"recursors" holds ${JSON.stringify(recursor)}, which is no address such as 10.0.0.53 or 10.0.0.53:5353`,
      );
    }
  }
  for (const network of values['http_config.allow_write_http_from']) {
    if (!isNetwork(network)) {
      reject(
        'http_config.allow_write_http_from',
        `"http_config.allow_write_http_from" holds ${JSON.stringify(network)}, which is no network such as 10.0.0.0/8`,
      );
    }
  }
  if (!values['ui_config.content_path'].startsWith('/')) {
    reject('ui_config.content_path', '"ui_config.content_path" must start with "/"');
  }
}

function isNetwork(text: string): boolean {
  const [address = '', bits = ''] = text.split('/');
  const family = isIP(address);
  return family !== 0 && /^[0-9]{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}
