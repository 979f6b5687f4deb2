/** What of a proxy's options can't be carried out: said to the user, while everything else goes on. */
export interface Problem {
  /** Key or name of what was asked for. */
  readonly option: string;
  readonly why: string;
}

export type Report = (problem: Problem) => void;

/** What comes of an option of the user's; `otherwise` when it can't be carried out, which is reported. */
export function attempt<T, O>(option: string, report: Report, make: () => T, otherwise: O): T | O {
  try {
    return make();
  } catch (error) {
    report({ option, why: (error as Error).message });
    return otherwise;
  }
}
