import { isIP } from 'node:net';
import { parseAddress } from '../lib/address.ts';
import { tryParseDuration } from '../lib/duration.ts';
import { CA_PROVIDERS } from '../model/ca-providers.ts';
import { tryDatacenter } from '../model/names.ts';
import type { Values } from './keys/table.ts';

const DNS_PORT = 53;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Kept from Consul: 64 pairs, keys up to 128 and values up to 512 characters, one reserved prefix. */
const META = { pairs: 64, key: 128, value: 512, reserved: 'consul-' } as const;

/** Takes a fault of a key. */
type Report = (path: keyof Values, text: string) => void;

/** Rules that span more than one value or go beyond its type. */
export function checkValues(values: Values, dev: boolean, report: Report): void {
  if (values.data_dir === '' && !dev) report('data_dir', 'data_dir cannot be empty');
  if (values['audit.enabled'] && values['audit.sink'].length === 0 && values.data_dir === '')
    report('audit.enabled', '"audit.enabled" needs a sink, since there is no data directory');
  checkServers(values, report);
  checkNames(values, report);
  checkMeta(values, report);
  checkPorts(values, report);
  checkQueries(values, report);
  const provider = values['connect.ca_provider'];
  if (!CA_PROVIDERS.some((known) => known === provider))
    report(
      'connect.ca_provider',
      `"connect.ca_provider" can only be ${CA_PROVIDERS.map((name) => JSON.stringify(name)).join(' or ')}, not ` +
        `${JSON.stringify(provider)}`,
    );
}

/** Servers with a store each would be that many datacenters of one name, without a word. */
function checkServers(values: Values, report: Report): void {
  const count = values.bootstrap_expect;
  if (!values.server || count < 2 || values['storage.engine'] !== 'embedded') return;
  report(
    'bootstrap_expect',
    `"bootstrap_expect" is ${count}, and with storage.engine = "embedded" a datacenter has one server: give the ` +
      `servers a store ` +
      'that they share, storage { engine = "etcd", etcd { endpoints = [...] } }, or start one server with ' +
      'bootstrap_expect = 1',
  );
}

function checkNames(values: Values, report: Report): void {
  const datacenter = values.datacenter.toLowerCase();
  if (datacenter === '') report('datacenter', 'datacenter cannot be empty');
  for (const path of ['datacenter', 'primary_datacenter'] as const) {
    const name = values[path].toLowerCase();
    if (name !== '' && tryDatacenter(name) === undefined) {
      report(path, `${path} cannot be ${JSON.stringify(values[path])}. Please use only [a-z0-9-_]`);
    }
  }
  if (values.node_id !== '' && !UUID.test(values.node_id)) {
    report('node_id', `"node_id" must be a UUID, not ${JSON.stringify(values.node_id)}`);
  }
}

function checkMeta(values: Values, report: Report): void {
  const pairs = Object.entries(values.node_meta);
  if (pairs.length > META.pairs) {
    report('node_meta', `node_meta invalid: Node metadata cannot contain more than ${META.pairs} key/value pairs`);
  }
  for (const [key, value] of pairs) {
    if (key === '') report('node_meta', 'node_meta invalid: Key cannot be blank');
    if (!/^[a-zA-Z0-9_-]+$/.test(key)) {
      report(
        'node_meta',
        `node_meta invalid: Couldn't load metadata pair ('${key}', '${value}'): Key contains invalid characters`,
      );
    }
    if (key.length > META.key || value.length > META.value) {
      report(
        'node_meta',
        `node_meta invalid: pair "${key}" is too long (key ${META.key}, value ${META.value} characters)`,
      );
    }
    if (key.startsWith(META.reserved)) {
      report('node_meta', `node_meta invalid: key prefix '${META.reserved}' is reserved for internal use`);
    }
  }
}

function checkPorts(values: Values, report: Report): void {
  if (values['ports.sidecar_max_port'] < values['ports.sidecar_min_port']) {
    report('ports.sidecar_max_port', '"ports.sidecar_max_port" must not be below "ports.sidecar_min_port"');
  }
  if (values['ports.expose_max_port'] < values['ports.expose_min_port']) {
    report('ports.expose_max_port', '"ports.expose_max_port" must not be below "ports.expose_min_port"');
  }
  if (values.server && values['ports.server'] < 0) report('ports.server', '"ports.server" cannot be off on a server');
}

function checkQueries(values: Values, report: Report): void {
  for (const [name, ttl] of Object.entries(values['dns_config.service_ttl'])) {
    if (tryParseDuration(ttl) === undefined) {
      report(
        'dns_config.service_ttl',
        `"dns_config.service_ttl.${name}" must be a duration such as "5s", not ${JSON.stringify(ttl)}`,
      );
    }
  }
  for (const recursor of values.recursors) {
    try {
      parseAddress(recursor, DNS_PORT);
    } catch {
      report(
        'recursors',
        `"recursors" holds ${JSON.stringify(recursor)}, which is no address such as 10.0.0.53 or 10.0.0.53:5353`,
      );
    }
  }
  for (const network of values['http_config.allow_write_http_from']) {
    if (!isNetwork(network)) {
      report(
        'http_config.allow_write_http_from',
        `"http_config.allow_write_http_from" holds ${JSON.stringify(network)}, which is no network such as 10.0.0.0/8`,
      );
    }
  }
}

function isNetwork(text: string): boolean {
  const [address = '', bits = ''] = text.split('/');
  const family = isIP(address);
  return family !== 0 && /^[0-9]{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}
