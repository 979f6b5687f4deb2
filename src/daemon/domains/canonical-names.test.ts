import { expect, it } from 'vitest';
import { noLog } from '../../telemetry/types.ts';
import { canonicalNames } from './canonical-names.ts';

const never = new AbortController().signal;

it('logs each entry, and starts although the store refuses', async () => {
  const lines: string[] = [];
  const log = {
    ...noLog,
    info: (message: string, fields?: object) => lines.push(`${message} ${JSON.stringify(fields)}`),
    warn: (message: string, fields?: object) => lines.push(`${message} ${JSON.stringify(fields)}`),
  };
  const renamed = [{ kind: 'service-intentions', name: 'bank', spellings: ['Bank', 'bank'] }] as const;
  await canonicalNames({ canonicalise: async () => renamed }, log).start(never);
  await canonicalNames({ canonicalise: () => Promise.reject(new Error('disk full')) }, log).start(never);
  expect(lines).toEqual([
    'names of a configuration entry brought into one form ' +
      '{"kind":"service-intentions","name":"bank","was":["Bank","bank"]}',
    'names of configuration entries stay as an older version wrote them until the next start {"error":"disk full"}',
  ]);
});
