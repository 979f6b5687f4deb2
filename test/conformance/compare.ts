import type { Relations } from './dynamic.ts';
import type { Recording } from './recording.ts';

export interface Difference {
  /** `status`, `header:<name>`, or the path of a value in the body such as `body[0].Node.ID`. */
  readonly at: string;
  readonly recorded: unknown;
  readonly actual: unknown;
  readonly why?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
}

/** Headers that are part of the contract; the rest (Date, Content-Length, connection handling) is HTTP's own. */
const HEADERS = ['content-type', 'allow', 'age', 'vary', 'x-cache'];

/** Ports of the two agents as recorded: each stands for one port of this run. */
const PORT = /^20[12]0\d$/;

/** Numbers and short texts that are random or counted by each implementation in its own way: only the type counts. */
const SHAPE_ONLY = new Set([
  'SerialNumber',
  'ContentHash',
  'LastIndex',
  'LastTerm',
  'Age',
  'PrivateKeyPEM',
  'ReplicatedIndex',
  'ReplicatedRoleIndex',
  'ReplicatedTokenIndex',
]);

export function compareAnswers(recording: Recording, answer: Answer, relations: Relations): readonly Difference[] {
  const found: Difference[] = [];
  const { response } = recording;
  if (response.status !== answer.status) found.push({ at: 'status', recorded: response.status, actual: answer.status });
  for (const name of new Set([...Object.keys(response.headers), ...HEADERS, ...headersOf(answer)])) {
    const recorded = response.headers[name];
    const actual = answer.headers[name];
    if (!sameHeader(name, recorded, actual)) found.push({ at: `header:${name}`, recorded, actual });
  }
  const isJson = response.headers['content-type'] === 'application/json';
  const body = isJson ? parsed(answer.body) : answer.body;
  compareValue({ found, relations, dc: recording.dc }, 'body', '', response.body, body);
  return found;
}

function headersOf(answer: Answer): readonly string[] {
  return Object.keys(answer.headers).filter((name) => name.startsWith('x-consul-'));
}

function sameHeader(name: string, recorded: unknown, actual: unknown): boolean {
  if (recorded === undefined || actual === undefined) return recorded === actual;
  if (name === 'age') return /^\d+$/.test(String(actual));
  // Index 1 says "nothing known"; all others are counted by each store in its own way.
  if (name === 'x-consul-index' && recorded !== '1') return /^[1-9]\d*$/.test(String(actual));
  return recorded === actual;
}

interface Context {
  readonly found: Difference[];
  readonly relations: Relations;
  readonly dc: string;
}

function compareValue(context: Context, at: string, key: string, recorded: unknown, actual: unknown): void {
  const { found, relations } = context;
  const differs = (why?: string): void => {
    found.push({ at, recorded, actual, ...(why === undefined ? undefined : { why }) });
  };
  if (isObject(recorded) && isObject(actual)) compareObjects(context, at, recorded, actual);
  else if (Array.isArray(recorded) && Array.isArray(actual)) {
    if (recorded.length !== actual.length) differs(`${actual.length} items where ${recorded.length} were`);
    else {
      const [left, right] = [ordered(key, recorded), ordered(key, actual)];
      for (const [i, item] of left.entries()) compareValue(context, `${at}[${i}]`, key, item, right[i]);
    }
  } else if (typeof recorded !== typeof actual || recorded === null || actual === null) {
    if (recorded !== actual) differs();
  } else if (SHAPE_ONLY.has(key)) {
    if ((recorded === '') !== (actual === '')) differs();
  } else if (typeof recorded === 'string') {
    const asPort = PORT.test(recorded);
    const why = asPort
      ? relations.match(`127.0.0.1:${recorded}`, `127.0.0.1:${String(actual)}`)
      : relations.match(recorded, actual as string);
    if (why !== undefined) differs(why);
  } else if (typeof recorded === 'number' && PORT.test(String(recorded))) {
    const why = relations.match(`127.0.0.1:${recorded}`, `127.0.0.1:${String(actual)}`);
    if (why !== undefined) differs(why);
  } else if (recorded !== actual) differs();
}

/**
 * Roots come in the order of their IDs, which are random; the one that is not active comes first here. So do prepared
 * queries; here it is the one of their names.
 */
function ordered(key: string, items: readonly unknown[]): readonly unknown[] {
  if (items.length > 1 && items.every((item) => isObject(item) && 'Template' in item && 'DNS' in item))
    return items.toSorted((a, b) => ((a as { Name: string }).Name < (b as { Name: string }).Name ? -1 : 1));
  // Sessions too; they were made one after the other.
  if (items.every((item) => isObject(item) && 'LockDelay' in item))
    return items.toSorted((a, b) => createdAt(a) - createdAt(b));
  // Tokens and policies come in the order of their IDs as well.
  if (key === '' && items.every(isTitled)) return items.toSorted((a, b) => (titleOf(a) < titleOf(b) ? -1 : 1));
  if (key !== 'Roots') return items;
  return items.toSorted(
    (a, b) => Number((a as { Active: boolean }).Active) - Number((b as { Active: boolean }).Active),
  );
}

function createdAt(item: unknown): number {
  return (item as { readonly CreateIndex: number }).CreateIndex;
}

function compareObjects(
  context: Context,
  at: string,
  recorded: Readonly<Record<string, unknown>>,
  actual: Readonly<Record<string, unknown>>,
): void {
  for (const name of new Set([...Object.keys(recorded), ...Object.keys(actual)])) {
    const path = `${at}.${name}`;
    const left = recorded[name];
    const right = actual[name];
    if (!(name in recorded) || !(name in actual)) {
      context.found.push({ at: path, recorded: left, actual: right, why: name in actual ? 'not recorded' : 'missing' });
    } else if (name !== 'CreateIndex' && name !== 'ModifyIndex') compareValue(context, path, name, left, right);
  }
  compareIndexes(context, at, recorded, actual);
}

/** An entity's two indexes: 0 where nothing is stored, equal until it is changed, else growing. */
function compareIndexes(
  { found, relations, dc }: Context,
  at: string,
  recorded: Readonly<Record<string, unknown>>,
  actual: Readonly<Record<string, unknown>>,
): void {
  const { CreateIndex: created, ModifyIndex: modified } = recorded;
  const { CreateIndex: nowCreated, ModifyIndex: nowModified } = actual;
  if (typeof created !== 'number' || typeof modified !== 'number') return;
  if (typeof nowCreated !== 'number' || typeof nowModified !== 'number') return; // told as missing already
  const sound =
    (created === 0) === (nowCreated === 0) && Math.sign(modified - created) === Math.sign(nowModified - nowCreated);
  if (!sound)
    found.push({
      at: `${at}.ModifyIndex`,
      recorded: `${created}, ${modified}`,
      actual: `${nowCreated}, ${nowModified}`,
      why: 'created and modified are not related as recorded',
    });
  relations.learnIndex(dc, created, nowCreated);
  relations.learnIndex(dc, modified, nowModified);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTitled(value: unknown): boolean {
  return isObject(value) && typeof value.Hash === 'string' && 'Description' in value;
}

/** What a token or policy is called; tokens without a description are told apart by what they grant. */
function titleOf(value: unknown): string {
  const { Name = '', Description, Local } = value as Readonly<Record<string, unknown>>;
  return JSON.stringify([Name, Description, Local]);
}

/** One line for a failure. */
export function describeDifference({ at, recorded, actual, why }: Difference): string {
  const show = (value: unknown): string => String(JSON.stringify(value)).slice(0, 400);
  return `${at}: ${why ?? 'differs'}; recorded ${show(recorded)}, now ${show(actual)}`;
}
