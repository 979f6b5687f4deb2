import { expect, it } from 'vitest';
import type { CheckType } from '../../model/registration/definitions.ts';
import type { ServiceForm } from '../../model/service-form.ts';
import { noLog } from '../../telemetry/types.ts';
import { ExposedChecks } from './exposed-checks.ts';
import { type LocalCheck, Registry } from './registry.ts';

function start(ports = { min: 21_500, max: 21_502 }) {
  const registry = new Registry();
  const warnings: string[] = [];
  const checks = new ExposedChecks({
    registry,
    log: { ...noLog, warn: (message) => warnings.push(message) },
    address: '10.0.0.1',
    addresses: { any: '0.0.0.0', loopback: '127.0.0.1' },
    ports,
  });
  const service = (form: Readonly<Record<string, unknown>>) =>
    registry.putService({
      form: { Address: '', Port: 0, Proxy: { MeshGateway: {}, Expose: {} }, ...form } as unknown as ServiceForm,
      token: '',
      source: 'api',
    });
  const proxy = (expose: Readonly<Record<string, unknown>>) =>
    service({
      ID: 'web-proxy',
      Kind: 'connect-proxy',
      Port: 21_000,
      Proxy: { DestinationServiceID: 'web', MeshGateway: {}, Expose: expose },
    });
  const check = (id: string, type: CheckType) =>
    registry.putCheck({
      form: { CheckID: id, ServiceID: 'web' },
      type,
      token: '',
      source: 'api',
    } as unknown as LocalCheck);
  service({ ID: 'web', Address: '10.0.0.9' });
  return { registry, warnings, checks, service, proxy, check };
}

it('gives HTTP and gRPC checks a port each, and sends them there while the proxy serves', () => {
  const { checks, proxy, check, registry } = start();
  const http = { HTTP: 'http://localhost:8080/health?deep=1' };
  const grpc = { GRPC: '10.0.0.9:9090/db' };
  check('a', http);
  check('b', grpc);
  proxy({ Checks: true });
  const from = ['10.0.0.1'];
  expect(checks.pathsOf('web-proxy')).toEqual([
    { path: '/health', listenerPort: 21_500, localPort: 8_080, http2: false, from },
    { path: '/grpc.health.v1.Health/Check', listenerPort: 21_501, localPort: 9_090, http2: true, from },
  ]);
  expect(checks.rerouted('a', http)).toBe(http);
  const gone = checks.serves('web-proxy');
  expect(checks.rerouted('a', http)).toEqual({ HTTP: 'http://127.0.0.1:21500/health?deep=1' });
  expect(checks.rerouted('b', grpc)).toEqual({ GRPC: '127.0.0.1:21501/db' });
  // A check that goes gives its port back; the others keep theirs.
  registry.removeCheck('a');
  expect(checks.pathsOf('web-proxy').map(({ listenerPort }) => listenerPort)).toEqual([21_501]);
  gone();
  expect(checks.rerouted('b', grpc)).toBe(grpc);
});

it('leaves alone what a proxy can not serve: TLS, other hosts, other kinds, proxies that did not ask', () => {
  const { checks, proxy, check } = start();
  check('tls', { HTTP: 'https://localhost/health' });
  check('grpc tls', { GRPC: 'localhost:1', GRPCUseTLS: true });
  check('elsewhere', { HTTP: 'http://169.254.169.254/latest' });
  check('other host', { GRPC: 'db.example.com:1' });
  check('no url', { HTTP: 'nonsense' });
  check('tcp', { TCP: 'localhost:1' });
  proxy({ Checks: true });
  checks.serves('web-proxy');
  expect(checks.pathsOf('web-proxy')).toEqual([]);
  check('plain', { HTTP: 'http://127.0.0.1:1/' });
  expect(checks.pathsOf('web-proxy')).toHaveLength(1);
  proxy({ Checks: false });
  expect(checks.pathsOf('web-proxy')).toEqual([]);
});

it('gives out no port that something else has, and says once when none is left', () => {
  const { checks, proxy, check, service, warnings } = start();
  service({ ID: 'other', Port: 21_500 });
  for (const id of ['a', 'b', 'c']) check(id, { HTTP: `http://127.0.0.1:80/${id}` });
  proxy({ Checks: true, Paths: [{ Path: '/x', ListenerPort: 21_501 }] });
  expect(checks.pathsOf('web-proxy').map(({ path, listenerPort }) => [path, listenerPort])).toEqual([['/a', 21_502]]);
  checks.serves('web-proxy');
  const direct = { HTTP: 'http://127.0.0.1:80/b' };
  expect(checks.rerouted('b', direct)).toBe(direct);
  expect(warnings).toHaveLength(1);
});
