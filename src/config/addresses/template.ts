import type { InterfaceAddress } from '../types.ts';
import { FUNCTIONS, type Value } from './functions.ts';
import { allInterfaces, type IfAddress } from './interfaces.ts';
import { TemplateError } from './template-error.ts';

/**
 * Templates for addresses: pipelines of functions over the addresses of this machine, in the language of Go's
 * text/template and with the functions of go-sockaddr. `{{ GetPrivateInterfaces | include "network" "10.0.0.0/8" |
 * attr "address" }}`. Control structures (`with`, `range`, `if`, variables) are not there: one expression gives one
 * text.
 */
export function expandTemplate(text: string, interfaces: readonly InterfaceAddress[]): string {
  return text
    .replaceAll(/\s*\{\{-\s|\{\{/g, (open) => (open === '{{' ? open : '{{'))
    .replaceAll(/\{\{([\s\S]*?)(\s-\}\}\s*|\}\})/g, (_whole, expression: string) =>
      evaluate(expression.trim(), allInterfaces(interfaces)),
    );
}

function evaluate(expression: string, all: readonly IfAddress[]): string {
  const shown = JSON.stringify(`{{ ${expression} }}`);
  let value: Value;
  try {
    value = new Expression(expression, all).value();
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new TemplateError(`can't use the template ${shown}: ${error.message}`);
  }
  if (typeof value === 'object')
    throw new TemplateError(`template ${shown} gives a list: end it with | attr "address" or | join "address" " "`);
  if (value === '') throw new TemplateError(`template ${shown} found no address on this machine`);
  return String(value);
}

const TOKEN = /\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`|([+-]?[0-9]+)|([A-Za-z]\w*)|([|().]))/y;
const CONTROL = new Set(['with', 'range', 'if', 'end', 'else', 'block', 'define', 'template']);

type Token = { readonly text: string } | { readonly number: number } | { readonly word: string };

class Expression {
  readonly #tokens: readonly Token[];
  readonly #all: readonly IfAddress[];
  #at = 0;

  constructor(text: string, all: readonly IfAddress[]) {
    this.#tokens = tokensOf(text);
    this.#all = all;
  }

  value(): Value {
    const value = this.#pipeline();
    if (this.#at < this.#tokens.length) throw new TemplateError(`nothing is expected at ${this.#shown()}`);
    return value;
  }

  #pipeline(): Value {
    let value = this.#command();
    while (this.#takes('|')) value = this.#command(value);
    return value;
  }

  /** A function with its arguments, or one value. */
  #command(piped?: Value): Value {
    const token = this.#tokens[this.#at];
    if (token !== undefined && 'word' in token && /^[A-Za-z]/.test(token.word)) {
      this.#at += 1;
      const run = Object.hasOwn(FUNCTIONS, token.word) ? FUNCTIONS[token.word] : undefined;
      if (run === undefined) throw new TemplateError(unknown(token.word));
      const args: Value[] = [];
      while (this.#at < this.#tokens.length && !this.#is('|') && !this.#is(')')) args.push(this.#operand());
      return run(piped === undefined ? args : [...args, piped], this.#all);
    }
    if (piped !== undefined) throw new TemplateError(`a function is expected at ${this.#shown()}`);
    return this.#operand();
  }

  #operand(): Value {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw new TemplateError('it ends too early');
    if (this.#takes('.')) return this.#all;
    if (this.#takes('(')) {
      const value = this.#pipeline();
      if (!this.#takes(')')) throw new TemplateError('a ) is missing');
      return value;
    }
    if ('text' in token || 'number' in token) {
      this.#at += 1;
      return 'text' in token ? token.text : token.number;
    }
    // A function without arguments stands for its value.
    if (Object.hasOwn(FUNCTIONS, token.word)) {
      this.#at += 1;
      return (FUNCTIONS[token.word] as (typeof FUNCTIONS)[string])([], this.#all);
    }
    throw new TemplateError(
      /^[A-Za-z]/.test(token.word) ? unknown(token.word) : `a value is expected at ${this.#shown()}`,
    );
  }

  #is(sign: string): boolean {
    const token = this.#tokens[this.#at];
    return token !== undefined && 'word' in token && token.word === sign;
  }

  #takes(sign: string): boolean {
    const found = this.#is(sign);
    if (found) this.#at += 1;
    return found;
  }

  #shown(): string {
    const token = this.#tokens[this.#at];
    if (token === undefined) return 'its end';
    return JSON.stringify('text' in token ? token.text : 'number' in token ? token.number : token.word);
  }
}

function tokensOf(text: string): readonly Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new TemplateError(`it can't be read from ${JSON.stringify(text.slice(at).trim())} on`);
    const [, quoted, raw, number, name, sign] = match;
    if (quoted !== undefined) tokens.push({ text: quoted.replaceAll(/\\(.)/g, '$1') });
    else if (raw !== undefined) tokens.push({ text: raw });
    else if (number !== undefined) tokens.push({ number: Number(number) });
    else tokens.push({ word: name ?? sign ?? '' });
  }
  if (tokens.length === 0) throw new TemplateError('it is empty');
  return tokens;
}

function unknown(name: string): string {
  if (CONTROL.has(name)) return `${name} is not offered: one expression gives one text`;
  return `there is no function ${name}; there are ${Object.keys(FUNCTIONS).join(', ')}`;
}
