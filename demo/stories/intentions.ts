import { ask, json, LongLived, until } from '../../test/harness/index.ts';
import type { Bed } from '../bed.ts';
import type { Outcome, Screen } from '../screen.ts';
import type { Explanation } from '../types.ts';

export async function denyAndAllow(bed: Bed, screen: Screen): Promise<Outcome> {
  const open = await LongLived.open(bed.upstreamPort);
  const pair = 'source=web&destination=db';
  const wrote = Date.now();
  await json(bed.dc1.http, 'PUT', `/v1/connect/intentions/exact?${pair}`, { SourceType: 'consul', Action: 'deny' });
  screen.status('a deny was written in dc1');
  await open.whenClosed;
  const closedAfter = Date.now() - wrote;
  await until(
    'the refusal',
    10_000,
    () =>
      ask(bed.upstreamPort, 'again').then(
        () => 'answered',
        () => 'refused',
      ),
    (outcome) => outcome === 'refused',
  );
  screen.line(`the deny written in dc1 closed the open connection in dc2 after ${closedAfter} ms and refuses new ones`);
  // The sidecar hears of a change by another way than who explains it.
  const why = await until(
    'dc2 explaining the refusal',
    5_000,
    () =>
      json<Explanation>(
        bed.dc2.http,
        'GET',
        '/v1/internal/explain?source=web&source-dc=dc1&destination=db&destination-dc=dc2',
      ),
    ({ Allowed }) => !Allowed,
  );
  screen.line(`why (asked in dc2): ${why.Reason}`);
  if (why.ToAllow !== undefined) screen.line(`to allow it: ${why.ToAllow}`);
  const allowed = Date.now();
  await json(bed.dc2.http, 'PUT', `/v1/connect/intentions/exact?${pair}`, { SourceType: 'consul', Action: 'allow' });
  await until(
    'the allow',
    10_000,
    () => ask(bed.upstreamPort, 'please').catch(() => ''),
    (text) => text.startsWith('db '),
  );
  const openAfter = Date.now() - allowed;
  return {
    facts: `an allow written in dc2 let web through again after ${openAfter} ms`,
    brief: `deny after ${closedAfter} ms, allow after ${openAfter} ms`,
  };
}
