import type { RegisterOp } from './linearizable.ts';
import type { Random } from './random.ts';

/** What a read found: null when nothing is there, and a version that grows with each write of the register. */
export interface Found {
  readonly value: string | null;
  readonly version: number;
}

/** A server's registers as a client uses them. Whatever throws may have been done or not. */
export interface Registers {
  /** A consistent read. */
  read(register: string): Promise<Found>;
  /** A default read, that may show the past but never what is older than what this client saw before. */
  readDefault(register: string): Promise<Found>;
  /** null deletes. */
  write(register: string, value: string | null): Promise<void>;
  /** Writes if the register is at this version; tells whether it did. */
  compareAndSet(register: string, version: number, value: string): Promise<boolean>;
}

/** Default reads of one client that went back. */
export interface WentBack {
  readonly client: string;
  readonly register: string;
  readonly from: number;
  readonly to: number;
}

/** Records what clients do at the same time; time is counted in questions and answers. */
export class History {
  readonly ops: RegisterOp[] = [];
  readonly wentBack: WentBack[] = [];
  inDoubt = 0;
  #now = 0;
  #values = 0;

  /** One client that does this many things, one after another. @param at the server that it uses now */
  async runClient(client: string, random: Random, steps: number, names: readonly string[], at: () => Registers) {
    const seen = new Map<string, number>();
    for (let step = 0; step < steps; step += 1) {
      const register = random.pick(names);
      const dice = random.next();
      const registers = at();
      if (dice < 0.35) await this.#read(client, register, registers);
      else if (dice < 0.6) await this.#readDefault(client, register, registers, seen);
      else if (dice < 0.8) await this.#write(client, register, `${++this.#values}`, registers);
      else if (dice < 0.87) await this.#write(client, register, null, registers);
      else await this.#compareAndSet(client, register, registers);
    }
  }

  async #read(client: string, register: string, registers: Registers): Promise<Found | undefined> {
    const began = ++this.#now;
    try {
      const found = await registers.read(register);
      this.ops.push({ client, register, kind: 'read', value: found.value, began, ended: ++this.#now });
      return found;
    } catch {
      return undefined; // it saw nothing
    }
  }

  async #readDefault(client: string, register: string, registers: Registers, seen: Map<string, number>) {
    try {
      const { version } = await registers.readDefault(register);
      const before = seen.get(register) ?? 0;
      if (version < before) this.wentBack.push({ client, register, from: before, to: version });
      seen.set(register, Math.max(before, version));
    } catch {
      // it saw nothing
    }
  }

  async #write(client: string, register: string, value: string | null, registers: Registers): Promise<void> {
    const began = ++this.#now;
    let ended = Number.POSITIVE_INFINITY;
    try {
      await registers.write(register, value);
      ended = ++this.#now;
    } catch {
      this.inDoubt += 1;
    }
    this.ops.push({ client, register, kind: 'write', value, began, ended });
  }

  async #compareAndSet(client: string, register: string, registers: Registers): Promise<void> {
    const found = await this.#read(client, register, registers);
    if (found === undefined) return;
    const value = `${++this.#values}`;
    const op = { client, register, kind: 'cas', value, expected: found.value, began: ++this.#now } as const;
    try {
      const written = await registers.compareAndSet(register, found.version, value);
      this.ops.push({ ...op, written, ended: ++this.#now });
    } catch {
      this.inDoubt += 1;
      this.ops.push({ ...op, ended: Number.POSITIVE_INFINITY });
    }
  }
}
