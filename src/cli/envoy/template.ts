import { IsthmusError } from '../../lib/errors.ts';

/** What a template may name: texts, numbers, truths, and groups of these. */
export type TemplateValues = { readonly [name: string]: string | number | boolean | TemplateValues };

type Piece = { readonly text: string } | { readonly action: string };

/** Ways out of a part of a template. */
type End = 'end' | 'else' | 'over';

/**
 * Fills in a template of Go's text/template, as far as bootstraps of Consul use it: `{{ .Name }}`, `{{ if .Name }}`
 * with `not`, `eq` and `ne`, `{{ else }}`, `{{ end }}`, comments, and `-` that takes the space around. Anything else is
 * refused.
 */
export function fillTemplate(template: string, values: TemplateValues): string {
  const pieces = split(template);
  let at = 0;
  const render = (shown: boolean, nested: boolean): readonly [string, End] => {
    let out = '';
    while (at < pieces.length) {
      const piece = pieces[at++] as Piece;
      if ('text' in piece) {
        out += piece.text;
        continue;
      }
      const [word = '', ...rest] = piece.action.split(/\s+(?=(?:[^"]*"[^"]*")*[^"]*$)/);
      if (word.startsWith('/*')) continue;
      if ((word === 'end' || word === 'else') && rest.length === 0) {
        if (!nested) throw wrong(`{{ ${word} }} belongs to no {{ if }}`);
        return [out, word];
      }
      if (word === 'if') {
        const holds = shown && condition(rest, values);
        const [then, end] = render(holds, true);
        const [otherwise, last] = end === 'else' ? render(shown && !holds, true) : ['', end];
        if (last !== 'end')
          throw wrong(last === 'else' ? 'an {{ if }} has two {{ else }}' : 'an {{ if }} has no {{ end }}');
        out += holds ? then : otherwise;
      } else if (word.startsWith('.') && rest.length === 0) out += String(lookup(word, values));
      else throw wrong(`{{ ${piece.action} }} is not supported: only names, if, else and end are`);
    }
    return [out, 'over'];
  };
  return render(true, false)[0];
}

function split(template: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let text = '';
  let from = 0;
  for (const match of template.matchAll(/\{\{(-\s)?\s*(.*?)\s*?(\s-)?\}\}/gs)) {
    text += template.slice(from, match.index);
    from = match.index + match[0].length;
    pieces.push({ text: match[1] === undefined ? text : text.trimEnd() }, { action: match[2] as string });
    text = '';
    if (match[3] !== undefined) from += /^\s*/.exec(template.slice(from))?.[0].length ?? 0;
  }
  pieces.push({ text: text + template.slice(from) });
  return pieces;
}

function condition([word = '', ...rest]: readonly string[], values: TemplateValues): boolean {
  const value = (text: string | undefined): string =>
    text?.startsWith('"') ? (JSON.parse(text) as string) : String(lookup(text ?? '', values));
  if (word === 'eq' && rest.length === 2) return value(rest[0]) === value(rest[1]);
  if (word === 'ne' && rest.length === 2) return value(rest[0]) !== value(rest[1]);
  if (word === 'not' && rest.length === 1) return !lookup(rest[0] as string, values);
  if (rest.length === 0) return Boolean(lookup(word, values));
  throw wrong(`{{ if ${[word, ...rest].join(' ')} }} is not supported: only a name, not, eq and ne are`);
}

function lookup(path: string, values: TemplateValues): string | number | boolean {
  let value: TemplateValues[string] | undefined = values;
  for (const name of path.startsWith('.') ? path.slice(1).split('.') : [''])
    value = typeof value === 'object' && Object.hasOwn(value, name) ? value[name] : undefined;
  if (value !== undefined && typeof value !== 'object') return value;
  throw wrong(`${JSON.stringify(path)} is no value: there are ${names(values).join(', ')}`);
}

function names(values: TemplateValues, prefix = '.'): readonly string[] {
  return Object.entries(values).flatMap(([name, value]) =>
    typeof value === 'object' ? names(value, `${prefix}${name}.`) : [`${prefix}${name}`],
  );
}

function wrong(why: string): IsthmusError {
  return new IsthmusError('invalid_argument', `envoy_bootstrap_json_tpl: ${why}`);
}
