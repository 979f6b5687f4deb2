import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '../harness/wait-for.ts';
import { ACCESS_ROWS, type AccessRow } from './access-rows.ts';
import { type AccessWorld, ROOT, startAccessWorld } from './access-world.ts';
import { ShiftedClock } from './shifted-clock.ts';

/** Every endpoint, over HTTP, with every kind of token. */

let world: AccessWorld;
const clock = new ShiftedClock();
const bad: Record<'without' | 'expired' | 'deleted', string> = { without: '', expired: '', deleted: '' };

beforeAll(async () => {
  world = await startAccessWorld({ clock });
  const everything = { Policies: [{ Name: 'global-management' }] };
  const make = (more: object): Promise<{ AccessorID: string; SecretID: string }> =>
    world.asRoot('PUT', '/v1/acl/token', { ...everything, ...more });
  bad.without = await world.secretWith('key "x" { policy = "write" }');
  bad.expired = (await make({ ExpirationTTL: '1m' })).SecretID;
  const deleted = await make({});
  bad.deleted = deleted.SecretID;
  for (const token of [bad.expired, bad.deleted])
    expect((await ask('GET', '/v1/acl/tokens', undefined, token)).status).toBe(200);
  await world.asRoot('DELETE', `/v1/acl/token/${deleted.AccessorID}`);
  clock.advance(61_000);
  await waitFor(async () => (await ask('GET', '/v1/catalog/service/web', undefined, ROOT)).body.includes('"web"'), {
    what: 'the service in the catalog',
  });
});

afterAll(() => world?.agent.stop());

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** As much of the answer as is needed: of a stream, that it has begun. */
function ask(method: string, path: string, body: unknown, token: string | undefined): Promise<Answer> {
  const headers = token === undefined ? {} : { 'X-Consul-Token': token };
  return new Promise((resolve, reject) => {
    const sent = request(`http://${world.agent.ready.http}${path}`, { method, headers, agent: false }, (response) => {
      const status = response.statusCode ?? 0;
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (response.headers['content-type'] !== 'application/x-ndjson') return;
        resolve({ status, body: text });
        sent.destroy();
      });
      response.on('end', () => resolve({ status, body: text }));
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

// What stops the agent comes last.
const rows = Object.entries(ACCESS_ROWS).sort(
  ([a], [b]) => Number(a.endsWith('/leave')) - Number(b.endsWith('/leave')),
);

describe.each(rows)('%s', (name, row: AccessRow) => {
  const [method = ''] = name.split(' ');
  const call = (token?: string): Promise<Answer> => {
    const path = row.path.replace(/\{(\w+)\}/g, (_whole, key: string) => world.names[key] ?? '');
    return ask(method, path, row.body, token);
  };
  const allowed = (answer: Answer): void => {
    expect(`${answer.status} ${answer.body.slice(0, 300)}`).toMatch(new RegExp(`^${row.status ?? 200} `));
    if (row.shown !== undefined) expect(answer.body).toMatch(row.shown);
  };

  it('answers each kind of token', async () => {
    if (row.unchecked !== undefined) {
      for (const token of [undefined, ...Object.values(bad), ROOT]) allowed(await call(token));
      return;
    }
    for (const token of [undefined, bad.without]) {
      const answer = await call(token);
      if (row.rules === undefined && row.management !== true) allowed(answer);
      else if (row.hidden === undefined) {
        expect(answer).toMatchObject({ status: 403, body: expect.stringContaining('Permission denied') });
      } else {
        expect(answer.status).toBe(200);
        expect(answer.body).toMatch(row.hidden);
      }
    }
    for (const token of [bad.expired, bad.deleted])
      expect(await call(token)).toMatchObject({ status: 403, body: expect.stringContaining('ACL not found') });
    allowed(await call(row.management === true ? ROOT : await world.secretWith(row.rules ?? '')));
    // Of several rules, each is needed.
    const parts = row.rules?.match(/\w+(?: "[^"]*")? (?:= "\w+"|\{[^}]*\})/g) ?? [];
    for (const part of parts.length > 1 ? parts : []) {
      const { status, body } = await call(await world.secretWith((row.rules as string).replace(part, '')));
      expect(`${status} ${body}`).not.toMatch(new RegExp(`^200 .*${row.shown?.source ?? ''}`, 's'));
    }
  });
});
