import { bar, wrap } from './text.ts';

/** What the demo shows: numbered steps with live progress on a terminal, plain lines elsewhere. */

const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/** Where there is no terminal to ask. */
const DEFAULT_COLUMNS = 80;
/** Progress without a terminal: a line for each tenth. */
const PLAIN_PROGRESS_STEPS = 10;

/** How a step went: what was seen, and the same in a few words for the summary. */
export interface Outcome {
  readonly facts: string;
  readonly brief: string;
}

interface StepResult {
  readonly title: string;
  readonly ok: boolean;
  readonly brief: string;
  readonly seconds: number;
}

export class Screen {
  readonly #results: StepResult[] = [];
  readonly #out: NodeJS.WriteStream;
  readonly #live: boolean;
  #frame = 0;
  #status = '';
  #lastTenth = -1;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out;
    this.#live = out.isTTY === true;
  }

  heading(text: string): void {
    this.#write(`\n${this.#bold(text)}\n`);
  }

  line(text: string): void {
    this.#clear();
    // What is to be copied stays in one piece.
    const lines = /^(bin\/isthmus|curl|export|#|\()/.test(text) ? [text] : wrap(text, this.#columns - 4);
    this.#write(lines.map((line) => `    ${line}\n`).join(''));
  }

  /** Replaces the live status; without a terminal it is dropped (the step's facts say how it ended). */
  status(text: string): void {
    this.#status = text;
    this.#draw();
  }

  /** A status with a bar; without a terminal, a line for each tenth of the way. */
  progress(share: number, text: string): void {
    if (this.#live) {
      this.status(`${bar(share)} ${text}`);
      return;
    }
    const tenth = Math.floor(share * PLAIN_PROGRESS_STEPS);
    if (tenth === this.#lastTenth) return;
    this.#lastTenth = tenth;
    this.line(`${Math.floor(share * 100)}% ${text}`);
  }

  /** Runs one step; a throw is a failed step and is thrown on. */
  async step(title: string, work: () => Promise<Outcome>): Promise<void> {
    const number = this.#results.length + 1;
    this.#write(`\n${this.#bold(`${number}. ${title}`)}\n`);
    const started = Date.now();
    this.#status = '';
    this.#lastTenth = -1;
    this.#timer = this.#live ? setInterval(() => this.#draw(), 80) : undefined;
    try {
      this.#finish(title, true, await work(), started);
    } catch (error) {
      const facts = error instanceof Error ? error.message : String(error);
      this.#finish(title, false, { facts, brief: 'did not hold' }, started);
      throw error;
    }
  }

  summary(): void {
    this.heading('Summary');
    const width = Math.max(...this.#results.map((result) => result.title.length));
    for (const result of this.#results) {
      const time = `${result.seconds.toFixed(1)} s`.padStart(6);
      this.#write(`  ${this.#mark(result.ok)} ${result.title.padEnd(width)} ${time}  ${result.brief}\n`);
    }
  }

  /** Says a last word; whatever still runs shows nothing any more. */
  close(text: string): void {
    clearInterval(this.#timer);
    this.#clear();
    this.#write(`\n${text}\n`);
    this.#closed = true;
  }

  #finish(title: string, ok: boolean, outcome: Outcome, started: number): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#clear();
    const mark = this.#mark(ok);
    const indent = ' '.repeat(this.#live ? 4 : 7);
    const lines = wrap(outcome.facts, this.#columns - indent.length);
    this.#write(`  ${mark} ${lines.join(`\n${indent}`)}\n`);
    this.#results.push({ title, ok, brief: outcome.brief, seconds: (Date.now() - started) / 1_000 });
  }

  get #columns(): number {
    return this.#out.columns || DEFAULT_COLUMNS;
  }

  #mark(ok: boolean): string {
    if (!this.#live) return ok ? 'ok  ' : 'FAIL';
    return ok ? '\x1b[32m✓\x1b[0m' : '\x1b[31m✗\x1b[0m';
  }

  #bold(text: string): string {
    return this.#live ? `\x1b[1m${text}\x1b[0m` : text;
  }

  #draw(): void {
    if (!this.#live || this.#timer === undefined) return;
    this.#frame = (this.#frame + 1) % SPINNER.length;
    // A line that wraps could not be replaced.
    const text = [...this.#status].slice(0, this.#columns - 5).join('');
    this.#write(`\r\x1b[2K  ${SPINNER[this.#frame]} ${text}`);
  }

  #clear(): void {
    if (this.#live) this.#write('\r\x1b[2K');
  }

  #write(text: string): void {
    if (!this.#closed) this.#out.write(text);
  }
}
