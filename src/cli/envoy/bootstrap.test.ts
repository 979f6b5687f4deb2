import { describe, expect, it } from 'vitest';
import type { XdsPorts } from '../../client/agent.ts';
import { Flags } from '../flags.ts';
import { agentAddress } from './agent-address.ts';
import { type AgentAddress, bootstrap } from './bootstrap.ts';

const PROXY = {
  proxyId: 'web-sidecar-proxy',
  service: 'web',
  datacenter: 'dc1',
  config: {},
  metrics: { scrapePath: '/metrics' },
  omitDeprecatedTags: false,
  env: {},
  separatesCallers: true,
};
const ADMIN = { address: '127.0.0.1', port: 19_000, accessLogPath: '/dev/null' };

function address(
  flags: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string>> = {},
  ports?: XdsPorts,
): AgentAddress {
  const io = { env, readFile: (path: string) => `text of ${path}`, listFiles: () => [] };
  return agentAddress(new Flags(Object.entries(flags)), io, ports);
}

describe('the bootstrap of an Envoy', () => {
  it('names the proxy, waits for its configuration without an end, and sends the token with the stream', () => {
    const made = bootstrap({ ...PROXY, admin: ADMIN, agent: address({}), token: 'secret' });
    expect(made).toMatchObject({
      node: { id: 'web-sidecar-proxy', cluster: 'web' },
      admin: { address: { socket_address: { address: '127.0.0.1', port_value: 19_000 } } },
      dynamic_resources: {
        cds_config: { initial_fetch_timeout: '0s' },
        lds_config: { initial_fetch_timeout: '0s' },
        ads_config: {
          api_type: 'DELTA_GRPC',
          grpc_services: [{ initial_metadata: [{ key: 'x-consul-token', value: 'secret' }] }],
        },
      },
    });
    expect(JSON.stringify(bootstrap({ ...PROXY, admin: ADMIN, agent: address({}) }))).not.toContain('x-consul-token');
  });

  it('finds the agent by flag, environment or default, with TLS where that is asked for', () => {
    expect(address({})).toEqual({ kind: 'tcp', host: '127.0.0.1', port: 8_502 });
    expect(address({}, { CONSUL_GRPC_ADDR: 'localhost:1', ISTHMUS_GRPC_ADDR: '' })).toMatchObject({
      host: '127.0.0.1',
      port: 1,
    });
    expect(address({ 'grpc-addr': 'unix:///run/x.sock' })).toEqual({ kind: 'unix', path: '/run/x.sock' });
    expect(address({ 'grpc-addr': 'https://agent.example:8503' })).toEqual({
      kind: 'tcp',
      host: 'agent.example',
      port: 8_503,
      caPem: '',
    });
    expect(address({ 'grpc-addr': '10.0.0.1:8503', 'grpc-ca-file': 'ca.pem' })).toMatchObject({
      caPem: 'text of ca.pem',
    });
    expect(() => address({ 'grpc-addr': 'agent' })).toThrow('-grpc-addr');
  });

  it('else finds the port that the agent says is open, never without TLS when a CA was given', () => {
    const at = (Plaintext: number, TLS: number, flags = {}, env = {}): AgentAddress =>
      address(flags, env, { Plaintext, TLS });
    const here = { kind: 'tcp', host: '127.0.0.1' };
    expect(at(7_001, -1)).toEqual({ ...here, port: 7_001 });
    expect(at(7_001, 7_002)).toEqual({ ...here, port: 7_001 });
    expect(at(-1, 7_002)).toEqual({ ...here, port: 7_002, caPem: '' });
    expect(at(-1, -1)).toEqual({ ...here, port: 8_502 });
    const ca = { 'grpc-ca-file': 'ca.pem' };
    const caPem = 'text of ca.pem';
    expect(at(7_001, 7_002, ca)).toEqual({ ...here, port: 7_002, caPem });
    expect(at(-1, 7_002, {}, { CONSUL_GRPC_CACERT: 'ca.pem' })).toEqual({ ...here, port: 7_002, caPem });
    expect(at(7_001, -1, ca)).toEqual({ ...here, port: 8_502, caPem });
    expect(at(7_001, 7_002, {}, { CONSUL_GRPC_ADDR: '10.0.0.1:1' })).toEqual({
      kind: 'tcp',
      host: '10.0.0.1',
      port: 1,
    });
  });

  it('resolves the name of an agent, and verifies it with the authorities that were given', () => {
    const named = bootstrap({
      ...PROXY,
      admin: ADMIN,
      agent: { kind: 'tcp', host: 'agent.example', port: 1, caPem: 'pem' },
    });
    expect(named).toMatchObject({
      static_resources: {
        clusters: [
          {
            type: 'STRICT_DNS',
            transport_socket: {
              typed_config: { common_tls_context: { validation_context: { trusted_ca: { inline_string: 'pem' } } } },
            },
          },
        ],
      },
    });
  });
});
