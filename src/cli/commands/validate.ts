import { loadConfig } from '../../config/load.ts';
import { systemConfigDeps } from '../../config/system-deps.ts';
import type { LoadedConfig } from '../../config/types.ts';
import { type Command, CommandFailure } from '../command.ts';
import { UsageError } from '../flags.ts';
import { configFormat, IGNORE_UNKNOWN } from './agent-flags.ts';

export const validate: Command = {
  path: ['validate'],
  synopsis: 'Check configuration files without starting anything',
  argsUsage: 'FILE_OR_DIRECTORY…',
  flags: [
    { name: 'quiet', kind: 'bool', about: 'Print nothing when the configuration is valid.' },
    { name: 'config-format', kind: 'text', placeholder: 'hcl|json', about: 'Read all files in this format.' },
    IGNORE_UNKNOWN,
  ],
  api: 'none',
  async run({ args, flags, json, printJson, print, complain }) {
    if (args.length === 0) throw new UsageError('Must specify at least one config file or directory');
    const sources = args.map((path) => ({ kind: 'either' as const, path }));
    const ignoreUnknownKeys = flags.bool(IGNORE_UNKNOWN.name);
    const input = { flags: {}, sources, dev: false, onlyFiles: true, ignoreUnknownKeys, ...configFormat(flags) };
    const loaded = load(() => loadConfig(input, systemConfigDeps));
    if (json) {
      printJson({ Valid: true, Warnings: loaded.warnings, NoEffect: loaded.noEffect });
      return 0;
    }
    for (const warning of loaded.warnings) complain(warning);
    if (loaded.noEffect.length > 0) complain(`No effect here: ${loaded.noEffect.join(', ')}`);
    if (!flags.bool('quiet')) print('Configuration is valid!');
    return 0;
  },
};

function load(read: () => LoadedConfig): LoadedConfig {
  try {
    return read();
  } catch (error) {
    throw new CommandFailure('Config validation failed', error);
  }
}
