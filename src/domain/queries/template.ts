import { compileCaptures } from '../../model/filter/pattern/capture.ts';
import { PatternFault } from '../../model/filter/pattern/pattern.ts';
import { type QueryEntity, rejected } from './definition.ts';

/** What a name that was asked for gives to the texts of a template. */
interface Scope {
  readonly prefix: string;
  readonly name: string;
  readonly matches: readonly string[];
  readonly segment: string;
}

type Part = string | ((scope: Scope) => string);

export type CompiledTemplate = (name: string, segment: string) => QueryEntity;

export function isTemplate(query: QueryEntity): boolean {
  return query.Template.Type !== '';
}

/** Makes a query out of a template and a name. Throws `rejected`. */
export function compileTemplate(query: QueryEntity): CompiledTemplate {
  const { Type, Regexp, RemoveEmptyTags } = query.Template;
  if (Type !== 'name_prefix_match') throw fault(`Bad Template.Type '${Type}'`);
  const capture = Regexp === '' ? undefined : compileRegexp(Regexp);
  const render = compileValue(query.Service, 'Service');
  return (name, segment) => {
    const matches = capture?.(name) ?? [];
    const service = render({ prefix: query.Name, name, matches, segment }) as QueryEntity['Service'];
    const tags = RemoveEmptyTags ? (service.Tags?.filter((tag) => tag !== '') ?? null) : service.Tags;
    return { ...query, Service: { ...service, Tags: tags } };
  };
}

function compileRegexp(source: string): ReturnType<typeof compileCaptures> {
  try {
    return compileCaptures(source);
  } catch (error) {
    if (error instanceof PatternFault) throw fault(`Bad Regexp: ${error.message}`);
    throw error;
  }
}

/** Every text below `value` may have expressions; keys may not. */
function compileValue(value: unknown, path: string): (scope: Scope) => unknown {
  if (typeof value === 'string') return compileText(value, path);
  if (Array.isArray(value)) {
    const items = value.map((item: unknown, index) => compileValue(item, `${path}[${index}]`));
    return (scope) => items.map((item) => item(scope));
  }
  if (typeof value !== 'object' || value === null) return () => value;
  const fields = Object.entries(value).map(
    ([key, field]) => [key, compileValue(field as unknown, `${path}.${key}`)] as const,
  );
  return (scope) => Object.fromEntries(fields.map(([key, field]) => [key, field(scope)]));
}

function compileText(text: string, path: string): (scope: Scope) => string {
  const parts: Part[] = [];
  let rest = text;
  for (;;) {
    const at = rest.indexOf('${');
    if (at < 0) break;
    if (rest[at - 1] === '$') {
      parts.push(rest.slice(0, at - 1), '${'); // written as $${
      rest = rest.slice(at + 2);
      continue;
    }
    const end = rest.indexOf('}', at);
    const expression = end < 0 ? undefined : compileExpression(rest.slice(at + 2, end).trim());
    if (expression === undefined) throw fault(`Bad format '${text}' in ${path}`);
    parts.push(rest.slice(0, at), expression);
    rest = rest.slice(end + 1);
  }
  parts.push(rest);
  return (scope) => parts.map((part) => (typeof part === 'string' ? part : part(scope))).join('');
}

function compileExpression(text: string): ((scope: Scope) => string) | undefined {
  switch (text) {
    case 'name.full':
      return ({ name }) => name;
    case 'name.prefix':
      return ({ prefix }) => prefix;
    case 'name.suffix':
      return ({ name, prefix }) => name.slice(prefix.length);
    case 'agent.segment':
      return ({ segment }) => segment;
    default: {
      const index = /^match\(\s*(\d{1,6})\s*\)$/.exec(text)?.[1];
      return index === undefined ? undefined : ({ matches }) => matches[Number(index)] ?? '';
    }
  }
}

function fault(reason: string) {
  return rejected(`failed compiling template: ${reason}`);
}
