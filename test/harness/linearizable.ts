/** What one client did with one register, as it saw it. Every value is written once. */
export interface RegisterOp {
  readonly client: string;
  readonly register: string;
  /** `cas` writes `value` if the register holds `expected`. */
  readonly kind: 'read' | 'write' | 'cas';
  /** What was written, or read; null: nothing is there (a write of null deletes). */
  readonly value: string | null;
  readonly expected?: string | null;
  /** Of a `cas`: whether it was written. */
  readonly written?: boolean;
  /**
   * When it was asked for and when it was answered, in any unit; Infinity: in doubt, it may take effect at any later
   * time or never.
   */
  readonly began: number;
  readonly ended: number;
}

interface Event {
  readonly op: number;
  readonly call: boolean;
  previous: Event | undefined;
  next: Event | undefined;
  /** Of a call: where its answer is; undefined for one in doubt. */
  answer: Event | undefined;
}

/**
 * Whether each register behaved as one copy that does one thing at a time, between question and answer. Returns the
 * names of the registers that did not. The algorithm is Wing's and Gong's with Lowe's memory of states that were seen.
 */
export function notLinearizable(history: readonly RegisterOp[]): string[] {
  const byRegister = new Map<string, RegisterOp[]>();
  for (const op of history) {
    // Whoever never got an answer to a read has seen nothing.
    if (op.kind === 'read' && op.ended === Number.POSITIVE_INFINITY) continue;
    const ops = byRegister.get(op.register) ?? [];
    byRegister.set(op.register, ops);
    ops.push(op);
  }
  return [...byRegister].filter(([, ops]) => !isLinearizable(ops)).map(([register]) => register);
}

function isLinearizable(ops: readonly RegisterOp[]): boolean {
  const head = eventsOf(ops);
  const seen = new Set<string>();
  const chosen: { readonly event: Event; readonly state: string | null }[] = [];
  let state: string | null = null;
  let taken = 0n;
  let left = ops.filter(({ ended }) => ended !== Number.POSITIVE_INFINITY).length;
  let event = head.next;
  while (left > 0) {
    if (event?.call === true) {
      const op = ops[event.op] as RegisterOp;
      const after = step(state, op);
      const key = `${taken | (1n << BigInt(event.op))} ${after}`;
      if (after !== undefined && !seen.has(key)) {
        seen.add(key);
        chosen.push({ event, state });
        state = after;
        taken |= 1n << BigInt(event.op);
        if (event.answer !== undefined) left -= 1;
        takeOut(event);
        event = head.next;
      } else event = event.next;
      continue;
    }
    // An answer came before its call was chosen, or nothing is left to choose: another order must be tried.
    const last = chosen.pop();
    if (last === undefined) return false;
    state = last.state;
    taken &= ~(1n << BigInt(last.event.op));
    if (last.event.answer !== undefined) left += 1;
    putBack(last.event);
    event = last.event.next;
  }
  return true;
}

/** The register after the operation; undefined when it can't have been answered so. */
function step(state: string | null, { kind, value, expected, written }: RegisterOp): string | null | undefined {
  if (kind === 'read') return value === state ? state : undefined;
  if (kind === 'write') return value;
  const holds = state === (expected ?? null);
  if (written === undefined) return holds ? value : undefined; // in doubt: only what would change something matters
  if (holds !== written) return undefined;
  return written ? value : state;
}

/** Questions and answers in order of time; of two at one time the question comes first. */
function eventsOf(ops: readonly RegisterOp[]): Event {
  const timed: { readonly at: number; readonly event: Event }[] = [];
  ops.forEach((op, index) => {
    const event = (call: boolean): Event => ({
      op: index,
      call,
      previous: undefined,
      next: undefined,
      answer: undefined,
    });
    const call = event(true);
    timed.push({ at: op.began, event: call });
    if (op.ended === Number.POSITIVE_INFINITY) return;
    call.answer = event(false);
    timed.push({ at: op.ended, event: call.answer });
  });
  timed.sort((a, b) => a.at - b.at || Number(b.event.call) - Number(a.event.call));
  const head: Event = { op: -1, call: false, previous: undefined, next: undefined, answer: undefined };
  let last = head;
  for (const { event } of timed) {
    last.next = event;
    event.previous = last;
    last = event;
  }
  return head;
}

function takeOut(event: Event): void {
  for (const one of [event, event.answer]) {
    if (one === undefined) continue;
    if (one.previous !== undefined) one.previous.next = one.next;
    if (one.next !== undefined) one.next.previous = one.previous;
  }
}

function putBack(event: Event): void {
  for (const one of [event.answer, event]) {
    if (one === undefined) continue;
    if (one.previous !== undefined) one.previous.next = one;
    if (one.next !== undefined) one.next.previous = one;
  }
}
