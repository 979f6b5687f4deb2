import { COMPATIBLE_VERSION, VERSION } from '../../model/version.ts';
import type { Command } from '../command.ts';

export const version: Command = {
  path: ['version'],
  synopsis: 'Show the version',
  flags: [],
  api: 'none',
  async run({ json, printJson, print }) {
    if (json) printJson({ Version: VERSION, HumanVersion: `v${VERSION}`, CompatibleWith: COMPATIBLE_VERSION });
    else print(`Isthmus v${VERSION}\nSpeaks the API of Consul ${COMPATIBLE_VERSION}`);
    return 0;
  },
};
