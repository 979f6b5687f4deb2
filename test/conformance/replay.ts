import { generateKeyPairSync } from 'node:crypto';
import { type Answer, compareAnswers, type Difference } from './compare.ts';
import { Relations } from './dynamic.ts';
import type { HttpFile, Recording } from './recording.ts';

export interface KnownDifference {
  readonly file: HttpFile;
  /** Name of the recording; absent means every one of the file. */
  readonly name?: string;
  /** A pattern for the whole of `Difference.at`. */
  readonly at: RegExp;
  readonly reason: string;
  /** It depends on the moment, so it need not be found. */
  readonly sometimes?: boolean;
}

export type Send = (dc: Recording['dc'], method: string, path: string, body: string | undefined) => Promise<Answer>;

/**
 * How long a read may take to become what was recorded: replication and checks work in the background. Milliseconds.
 */
const SETTLE_MS = 5_000;

/** Sends recordings one by one and compares; keeps what stands for what from one to the next. */
export class Replay {
  readonly #send: Send;
  readonly #known: readonly KnownDifference[];
  readonly #stillDiffers = new Set<KnownDifference>();
  #relations = new Relations();

  constructor(send: Send, known: readonly KnownDifference[]) {
    this.#send = send;
    this.#known = known;
  }

  /** Differences that are not known. */
  async step(file: HttpFile, recording: Recording): Promise<readonly Difference[]> {
    const { request, dc } = recording;
    const path = this.#translatePath(dc, request.path);
    const body = request.body === undefined ? undefined : this.#translateBody(request.body);
    const end = Date.now() + SETTLE_MS;
    for (;;) {
      const relations = this.#relations.copy();
      const answer = await this.#send(dc, request.method, path, body);
      const differences = compareAnswers(recording, answer, relations);
      const { known, unknown } = this.#sort(file, recording, differences);
      if (unknown.length > 0 && request.method === 'GET' && Date.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      for (const difference of known) this.#stillDiffers.add(difference);
      this.#relations = relations;
      return unknown;
    }
  }

  /** Known differences that were not found: they must be taken off the list. */
  gone(): readonly KnownDifference[] {
    return this.#known.filter((known) => known.sometimes !== true && !this.#stillDiffers.has(known));
  }

  #sort(
    file: HttpFile,
    recording: Recording,
    differences: readonly Difference[],
  ): { known: readonly KnownDifference[]; unknown: readonly Difference[] } {
    const known: KnownDifference[] = [];
    const unknown: Difference[] = [];
    for (const difference of differences) {
      const fits = this.#known.filter((entry) => concerns(entry, file, recording, difference));
      if (fits.length === 0) unknown.push(difference);
      known.push(...fits);
    }
    return { known, unknown };
  }

  #translatePath(dc: string, path: string): string {
    const cas = /\bcas=(\d+)/.exec(path)?.[1];
    const translated = this.#relations.translate(path);
    return cas === undefined || Number(cas) <= 1
      ? translated
      : translated.replace(`cas=${cas}`, `cas=${this.#relations.index(dc, Number(cas))}`);
  }

  /** Recorded texts were sent as they are (they are not JSON); Consul's private key is replaced by one of our own. */
  #translateBody(body: unknown): string {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    return this.#relations.translate(text).replace('<EC PRIVATE KEY PEM>', () => JSON.stringify(newKey()).slice(1, -1));
  }
}

function concerns(known: KnownDifference, file: HttpFile, recording: Recording, difference: Difference): boolean {
  return (
    known.file === file &&
    (known.name === undefined || known.name === recording.name) &&
    new RegExp(`^(?:${known.at.source})$`).test(difference.at)
  );
}

function newKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ format: 'pem', type: 'sec1' }).toString();
}
