import { type FlagSpec, type Flags, UsageError } from '../flags.ts';

/** Which configuration entry a command is about. */
export const ENTRY_FLAGS: readonly FlagSpec[] = [
  { name: 'kind', kind: 'text', placeholder: 'kind', about: 'Kind of the entry.' },
  { name: 'name', kind: 'text', placeholder: 'name', about: 'Name of the entry.' },
];

export function entryOf(flags: Flags): { readonly kind: string; readonly name: string } {
  const [kind, name] = [flags.text('kind'), flags.text('name')];
  if (kind === '') throw new UsageError('Must specify the -kind parameter');
  if (name === '') throw new UsageError('Must specify the -name parameter');
  return { kind, name };
}
