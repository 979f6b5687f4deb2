import { IsthmusError } from '../../lib/errors.ts';
import { isUuid } from '../../lib/ids.ts';
import type { Intention } from '../../model/intention.ts';
import { isAction, WILDCARD } from '../../model/service-intentions.ts';

const META_PAIRS = 64;
const META_KEY_LENGTH = 128;
const VALUE_LENGTH = 512;

/** Checks an intention as a caller sent it; throws Consul's list of everything that is wrong. */
export function validateIntention(intention: Partial<Intention>): void {
  const faults: string[] = [];
  const { SourceName = '', DestinationName = '', Description = '', Meta, Action, Permissions, SourceType } = intention;
  if (SourceName === '') faults.push('SourceName must be set');
  if (DestinationName === '') faults.push('DestinationName must be set');
  for (const [field, name] of Object.entries({ SourceName, DestinationName })) {
    if (name !== WILDCARD && name.includes(WILDCARD))
      faults.push(`${field}: wildcard character '*' cannot be used with partial values`);
  }
  if (Description.length > VALUE_LENGTH) faults.push(`Description exceeds maximum length ${VALUE_LENGTH}`);
  faults.push(...metaFaults(Meta ?? {}));
  if ((Permissions?.length ?? 0) === 0 && !isAction(Action)) faults.push("Action must be set to 'allow' or 'deny'");
  if (SourceType !== 'consul') faults.push("SourceType must be set to 'consul'");
  if (faults.length === 0) return;
  const lines = faults.map((fault) => `\t* ${fault}\n`).join('');
  throw rejected(`${faults.length} error${faults.length === 1 ? '' : 's'} occurred:\n${lines}\n`);
}

function metaFaults(meta: Readonly<Record<string, string>>): readonly string[] {
  const pairs = Object.entries(meta);
  const faults: string[] = [];
  if (pairs.length > META_PAIRS) faults.push(`Meta exceeds maximum element count ${META_PAIRS}`);
  for (const [key, value] of pairs) {
    const quoted = JSON.stringify(key);
    if (key.length > META_KEY_LENGTH) faults.push(`Meta key ${quoted} exceeds maximum length ${META_KEY_LENGTH}`);
    if (value.length > VALUE_LENGTH) faults.push(`Meta value for key ${quoted} exceeds maximum length ${VALUE_LENGTH}`);
  }
  return faults;
}

const NOT_A_UUID = 'failed config entry lookup: index error: UUID must be 36 characters';

/** For reading by ID. */
export function requireReadableId(id: string): void {
  if (!isUuid(id)) throw new IsthmusError('invalid_argument', `Bad request: ${NOT_A_UUID}`);
}

/** For changing and deleting by ID. */
export function requireWritableId(id: string): void {
  if (!isUuid(id)) throw rejected(`Intention lookup failed: ${NOT_A_UUID}`);
}

export function rejected(text: string): IsthmusError {
  return new IsthmusError('rejected', text);
}
