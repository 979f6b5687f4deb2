import { ask, call, json, until } from '../../test/harness/index.ts';
import type { Bed } from '../bed.ts';
import type { Outcome, Screen } from '../screen.ts';

export async function surviveCut(bed: Bed, screen: Screen): Promise<Outcome> {
  await bed.cutWan();
  screen.line('the WAN between the datacenters is cut: bytes vanish, nothing is reset');
  await json(bed.dc2.http, 'PUT', '/v1/agent/service/register', { Name: 'cache', Port: 6379 });
  screen.status('a new service in dc2 asks for its certificate');
  const leaf = await json<{ ServiceURI: string; ValidBefore: string }>(
    bed.dc2.http,
    'GET',
    '/v1/agent/connect/ca/leaf/cache',
  );
  const { pathname } = new URL(leaf.ServiceURI);
  screen.line(`new in dc2 while cut off: a certificate for ${pathname}, valid until ${leaf.ValidBefore}`);
  await ask(bed.upstreamPort, 'still there?');
  screen.line('web in dc1 still reaches db in dc2 over its own route');
  screen.status('waiting until dc1 notices that dc2 is out of reach');
  await until(
    'dc1 noticing the cut',
    30_000,
    () => call(bed.dc1.http, 'GET', '/v1/catalog/nodes?dc=dc2'),
    (answer) => answer.status === 500,
  );
  bed.healWan();
  const healed = Date.now();
  screen.status('the WAN is healed');
  await until(
    'dc2 deciding writes with the primary again',
    60_000,
    () =>
      call(bed.dc2.http, 'PUT', '/v1/connect/intentions/exact?source=web&destination=cache', {
        SourceType: 'consul',
        Action: 'allow',
      }),
    (answer) => answer.status === 200,
  );
  const took = Date.now() - healed;
  return {
    facts: `healed: dc2 writes through the primary again after ${took} ms`,
    brief: `whole again ${took} ms after healing`,
  };
}
