import { type InProcessAgent, type InProcessOptions, startInProcess } from '../harness/in-process-agent.ts';

export const ROOT = 'b1a7c0de-0000-4000-8000-000000000001';

/** An identity of the right form; whether it is known does not matter to who may ask. */
export const WEB_LEAF_URI = 'spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/dc1/svc/api';

export interface AccessWorld {
  readonly agent: InProcessAgent;
  /** Values for `{name}` in the paths of rows. */
  readonly names: Readonly<Record<string, string>>;
  /** Makes a token with these rules; resolves with its secret. */
  secretWith(rules: string): Promise<string>;
  asRoot<T>(method: string, path: string, body?: object): Promise<T>;
}

/** An agent with access control on, and one of everything that can be asked for. */
export async function startAccessWorld({
  tokens,
  config,
  ...options
}: Pick<InProcessOptions, 'clock' | 'config'> & { readonly tokens?: object } = {}): Promise<AccessWorld> {
  const acl = { enabled: true, default_policy: 'deny', tokens: { initial_management: ROOT, agent: ROOT, ...tokens } };
  const agent = await startInProcess({
    name: 'n1',
    datacenter: 'dc1',
    config: { acl, log_level: 'info', ...config },
    ...options,
  });
  const asRoot = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const answer = await agent.http(method, path, body, { 'x-consul-token': ROOT });
    if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    return (answer.body === '' ? undefined : answer.json<T>()) as T;
  };
  let policies = 0;
  const secretWith = async (rules: string): Promise<string> => {
    const { ID } = await asRoot<{ ID: string }>('PUT', '/v1/acl/policy', { Name: `p${policies++}`, Rules: rules });
    return (await asRoot<{ SecretID: string }>('PUT', '/v1/acl/token', { Policies: [{ ID }] })).SecretID;
  };
  const made = async (path: string, body: object, field = 'ID', method = 'PUT'): Promise<string> =>
    (await asRoot<Record<string, string>>(method, path, body))[field] ?? '';

  const policy = await made('/v1/acl/policy', { Name: 'kept' });
  const grants = { Policies: [{ ID: policy }] };
  const ttl = { CheckID: 'web-ttl', Name: 'web-ttl', TTL: '1h', Status: 'passing' };
  await asRoot('PUT', '/v1/agent/service/register', {
    Name: 'web',
    Port: 80,
    Check: ttl,
    Connect: { SidecarService: {} },
  });
  await asRoot('PUT', '/v1/agent/service/register', { Name: 'doomed', ID: 'doomed-service' });
  await asRoot('PUT', '/v1/agent/check/register', {
    Name: 'doomed-check',
    ServiceID: 'web',
    TTL: '1h',
    Status: 'passing',
  });
  await asRoot('PUT', '/v1/catalog/register', { Node: 'doomed-node', Address: '10.0.0.8' });
  await asRoot('PUT', '/v1/config', { Kind: 'service-defaults', Name: 'web', Protocol: 'tcp' });
  await asRoot('PUT', '/v1/config', { Kind: 'service-resolver', Name: 'doomed' });
  const intention = (source: string): Promise<string> =>
    made(
      '/v1/connect/intentions',
      { SourceName: source, DestinationName: 'web', SourceType: 'consul', Action: 'allow' },
      'ID',
      'POST',
    );
  await asRoot('PUT', '/v1/connect/intentions/exact?source=api&destination=web', {
    SourceType: 'consul',
    Action: 'allow',
  });
  const query = (name: string): Promise<string> =>
    made('/v1/query', { Name: name, Service: { Service: 'web' } }, 'ID', 'POST');
  const names = {
    policy,
    doomedPolicy: await made('/v1/acl/policy', { Name: 'doomed' }),
    role: await made('/v1/acl/role', { Name: 'kept', ...grants }),
    doomedRole: await made('/v1/acl/role', { Name: 'doomed', ...grants }),
    token: await made('/v1/acl/token', { Description: 'kept', ...grants }, 'AccessorID'),
    doomedToken: await made('/v1/acl/token', { Description: 'doomed', ...grants }, 'AccessorID'),
    intention: await intention('third'),
    doomedIntention: await intention('doomed'),
    query: await query('q'),
    doomedQuery: await query('q-doomed'),
    session: await made('/v1/session/create', {}),
    doomedSession: await made('/v1/session/create', {}),
  };
  await intention('doomed-too');
  for (const key of ['kept', 'doomed']) await asRoot('PUT', `/v1/kv/${key}`, {});
  return { agent, names, secretWith, asRoot };
}
