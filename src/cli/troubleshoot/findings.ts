import { IsthmusError } from '../../lib/errors.ts';
import type { CommandContext } from '../command.ts';

/** Something that was looked at. */
export interface Finding {
  readonly ok: boolean;
  readonly text: string;
  /** What to do about it. */
  readonly hint?: string;
}

export interface Section {
  readonly title: string;
  readonly findings: readonly Finding[];
}

export const good = (text: string): Finding => ({ ok: true, text });
export const bad = (text: string, hint?: string): Finding => ({
  ok: false,
  text,
  ...(hint === undefined ? {} : { hint }),
});

/** What `look` finds, or that it could not look. */
export async function lookedAt(what: string, look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await look();
  } catch (error) {
    return [bad(`${what} can't be looked at: ${IsthmusError.from(error).message}`)];
  }
}

const FOUND_SOMETHING = 1;

/** Prints what was found; the exit code is 1 when something is wrong. */
export function conclude({ json, print, printJson }: CommandContext, sections: readonly Section[]): number {
  const wrong = sections.some(({ findings }) => findings.some(({ ok }) => !ok));
  if (json) printJson({ Healthy: !wrong, Sections: sections.map(shown) });
  else
    for (const { title, findings } of sections) {
      print(`==> ${title}`);
      for (const { ok, text, hint } of findings) {
        print(` ${ok ? '✓' : '!'} ${text}`);
        if (hint !== undefined) print(`   -> ${hint}`);
      }
    }
  return wrong ? FOUND_SOMETHING : 0;
}

function shown({ title, findings }: Section): unknown {
  return {
    Title: title,
    Findings: findings.map(({ ok, text, hint }) => ({
      OK: ok,
      Text: text,
      ...(hint === undefined ? {} : { Hint: hint }),
    })),
  };
}
