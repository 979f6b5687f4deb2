import type { Client } from '../../client/client.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Autonomy } from '../../model/autonomy.ts';
import { type Command, doing } from '../command.ts';
import { columns, remaining } from '../output.ts';

export const federationAutonomy: Command = {
  path: ['federation', 'autonomy'],
  synopsis: 'Show how long each datacenter could run alone',
  about:
    'For each datacenter: if it were cut off from all others now, how long until something ends, and what ends ' +
    'first. With ' +
    '-datacenter, all limits of that one. Exit code 1 when one would end within a day, or can’t be asked.',
  flags: [],
  api: 'server',
  async run({ client, flags, json, printJson, print }) {
    const api = client();
    const one = flags.text('datacenter');
    const names = one === '' ? await doing('Error listing datacenters', api.catalog.datacenters()) : [one];
    const answers = await Promise.all(names.map((name) => ask(api, name)));
    if (json) printJson(answers.map(({ name, autonomy, error }) => autonomy ?? { Datacenter: name, Error: error }));
    else {
      const rows = answers.map(({ name, autonomy, error }) =>
        autonomy === undefined
          ? [name, 'unknown', '', error]
          : [name, time(autonomy.Seconds), autonomy.LimitedBy || '-', firstOf(autonomy)],
      );
      print(columns([['DC', 'Alone for', 'Until', 'Then'], ...rows]).replaceAll(/ +$/gm, ''));
      const [only] = answers;
      if (one !== '' && only?.autonomy !== undefined)
        print(
          `\n${columns(only.autonomy.Limits.map(({ Name, Seconds, About }) => [`${Name}:`, time(Seconds), About]))}`,
        );
    }
    return answers.every(({ autonomy }) => autonomy !== undefined && (autonomy.Seconds ?? DAY) >= DAY) ? 0 : 1;
  },
};

const DAY = 86_400;

interface Asked {
  readonly name: string;
  readonly autonomy?: Autonomy;
  readonly error: string;
}

async function ask(api: Client, name: string): Promise<Asked> {
  try {
    return { name, autonomy: await api.operator.autonomy({ datacenter: name }), error: '' };
  } catch (error) {
    return { name, error: IsthmusError.from(error).message };
  }
}

function time(seconds: number | null): string {
  return seconds === null ? 'no end' : remaining(seconds);
}

function firstOf({ Limits, LimitedBy }: Autonomy): string {
  return (Limits.find(({ Name }) => Name === LimitedBy) ?? Limits[0])?.About ?? '';
}
