/** What the demo shows: numbered steps with live progress on a terminal, plain lines elsewhere. */

const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

export interface StepResult {
  readonly title: string;
  readonly ok: boolean;
  readonly facts: string;
  readonly seconds: number;
}

export class Screen {
  readonly results: StepResult[] = [];
  readonly #out: NodeJS.WriteStream;
  readonly #live: boolean;
  #frame = 0;
  #status = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out;
    this.#live = out.isTTY === true;
  }

  heading(text: string): void {
    this.#out.write(`\n${this.#bold(text)}\n`);
  }

  line(text: string): void {
    this.#clear();
    this.#out.write(`    ${text}\n`);
  }

  /** Replaces the live status; without a terminal it is dropped (the step's facts say how it ended). */
  status(text: string): void {
    this.#status = text;
    this.#draw();
  }

  /** Runs one step; a throw is a failed step and is thrown on. The returned text tells what was seen. */
  async step(title: string, work: () => Promise<string>): Promise<void> {
    const number = this.results.length + 1;
    this.#out.write(`\n${this.#bold(`${number}. ${title}`)}\n`);
    const started = Date.now();
    this.#status = '';
    this.#timer = this.#live ? setInterval(() => this.#draw(), 80) : undefined;
    try {
      const facts = await work();
      this.#finish(title, true, facts, started);
    } catch (error) {
      this.#finish(title, false, error instanceof Error ? error.message : String(error), started);
      throw error;
    }
  }

  summary(): void {
    this.heading('Summary');
    const width = Math.max(...this.results.map((result) => result.title.length));
    for (const result of this.results) {
      const time = `${result.seconds.toFixed(1)} s`.padStart(7);
      this.#out.write(`  ${this.#mark(result.ok)} ${result.title.padEnd(width)} ${time}  ${result.facts}\n`);
    }
  }

  #finish(title: string, ok: boolean, facts: string, started: number): void {
    clearInterval(this.#timer);
    this.#clear();
    this.#out.write(`  ${this.#mark(ok)} ${facts}\n`);
    this.results.push({ title, ok, facts, seconds: (Date.now() - started) / 1_000 });
  }

  #mark(ok: boolean): string {
    if (!this.#live) return ok ? 'ok  ' : 'FAIL';
    return ok ? '\x1b[32m✓\x1b[0m' : '\x1b[31m✗\x1b[0m';
  }

  #bold(text: string): string {
    return this.#live ? `\x1b[1m${text}\x1b[0m` : text;
  }

  #draw(): void {
    if (!this.#live) return;
    this.#frame = (this.#frame + 1) % SPINNER.length;
    this.#out.write(`\r\x1b[2K  ${SPINNER[this.#frame]} ${this.#status}`);
  }

  #clear(): void {
    if (this.#live) this.#out.write('\r\x1b[2K');
  }
}

/** A bar of `width` characters for a share between 0 and 1. */
export function bar(share: number, width = 24): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return `${'█'.repeat(full)}${'░'.repeat(width - full)}`;
}
