import { describe, expect, it } from 'vitest';
import { TOP } from '../model/go-decode.ts';
import {
  CHECK_DEFINITION,
  CHECK_FIELDS,
  type Field,
  type Fields,
  SERVICE_DEFINITION,
  SERVICE_FIELDS,
} from '../model/registration/fields.ts';
import { serviceForm } from '../model/registration/service-rules.ts';
import { fileFields } from './keys/definition-fields.ts';
import { loadConfig } from './load.ts';

/** A value of a field, in the names of files or of the API; blocks have all of their fields. */
function sample(field: Field, names: 'file' | 'api', depth = 0): unknown {
  const inside = (): Record<string, unknown> => samples(field.fields!(), names, depth + 1);
  switch (field.type) {
    case 'text':
      return 'x';
    case 'texts':
      return ['x', 'y'];
    case 'toggle':
      return true;
    case 'number':
      return 3;
    case 'port':
      return 4;
    case 'tenancy':
      return 'default';
    case 'duration':
      return '3s';
    case 'textMap':
      return { a: 'b' };
    case 'headers':
      return { 'X-A': ['b'] };
    case 'opaque':
      return { any_thing: 1 };
    case 'block':
      return inside();
    case 'blocks':
      return [inside()];
    case 'blockMap':
      return { one: inside() };
  }
}

function samples(fields: Fields, names: 'file' | 'api', depth = 0): Record<string, unknown> {
  const given = Object.entries(fields).filter(
    // A sidecar within a sidecar is refused; of several names in files the first is taken.
    ([name, field]) => !(name === 'Connect' && depth > 0) && !(names === 'file' && field.files?.length === 0),
  );
  return Object.fromEntries(
    given.map(([name, field]) => [
      names === 'api' ? name : fileFields({ [name]: field })[0]!.name,
      // There are no peers, so none can be named.
      name.endsWith('Peer') ? '' : sample(field, names, depth),
    ]),
  );
}

function load(block: Record<string, unknown>): readonly Record<string, unknown>[] {
  const machine = { listDir: () => undefined, hostname: () => 'h', interfaces: () => [] };
  const input = { flags: {}, sources: [{ kind: 'file', path: 'c.json' }], dev: true } as const;
  return [...loadConfig(input, { ...machine, readFile: () => JSON.stringify(block) }).config.services];
}

describe('the one table of registrations', () => {
  it.each([
    ['service', SERVICE_FIELDS, SERVICE_DEFINITION],
    ['check', CHECK_FIELDS, CHECK_DEFINITION],
  ] as const)(
    'requests take every field of a %s, by the name of the API and by that of files',
    (_what, table, decoder) => {
      const byApi = decoder.decode(samples(table, 'api'), TOP) as Record<string, unknown>;
      const byFile = decoder.decode(samples(table, 'file'), TOP) as Record<string, unknown>;
      expect(Object.keys(byApi).length).toBeGreaterThan(10);
      for (const name of Object.keys(byApi)) if (name !== 'ScriptArgs') expect(byFile).toHaveProperty(name);
    },
  );

  it('a file gives what a request with the same fields gives', () => {
    const proxy = samples(SERVICE_FIELDS.Proxy.fields(), 'file');
    const service = { name: 'web', kind: 'connect-proxy', port: 9, tags: ['t'], proxy };
    const upstream = (proxy.upstreams as Record<string, unknown>[])[0]!;
    Object.assign(upstream, { destination_type: 'service', local_bind_address: '', local_bind_port: 0 });
    upstream.local_bind_socket_mode = '0600';
    const [definition] = load({ service });
    const fromFile = serviceForm(SERVICE_DEFINITION.decode(definition, TOP)!);
    const fromRequest = serviceForm(SERVICE_DEFINITION.decode(service, TOP)!);
    // A request may hold anything there, in the names of the API; it is kept as it comes.
    const { MeshGateway: _mesh, Expose: _expose, Upstreams: [up] = [], ...rest } = fromFile.Proxy;
    expect(fromRequest.Proxy).toMatchObject(rest);
    expect(fromRequest.Proxy.Upstreams![0]).toMatchObject({ ...up, DestinationNamespace: 'default', MeshGateway: {} });
  });

  it('keeps every field that is not another way to say one, or of this agent alone', () => {
    const NOT_IN_THE_CATALOG = ['Name', 'Namespace', 'Partition', 'Check', 'Checks', 'Token'];
    const form = serviceForm(SERVICE_DEFINITION.decode(samples(SERVICE_FIELDS, 'api'), TOP)!);
    const expected = Object.keys(SERVICE_FIELDS).filter((name) => !NOT_IN_THE_CATALOG.includes(name));
    expect(Object.keys(form)).toEqual(expect.arrayContaining([...expected, 'Service']));
    const proxy = SERVICE_FIELDS.Proxy.fields();
    expect(Object.keys(form.Proxy)).toEqual(expect.arrayContaining(Object.keys(proxy)));
    const upstream = Object.keys(proxy.Upstreams!.fields!()).filter((name) => !/Partition|Peer$/.test(name));
    expect(Object.keys(form.Proxy.Upstreams![0]!)).toEqual(expect.arrayContaining(upstream));
  });
});
