import type { Random } from '../harness/random.ts';

/** Makes inputs out of good ones: mostly right, so that they get far, and wrong somewhere. */
export interface Mutator {
  /** A changed copy of one of the good inputs. */
  next(): Buffer;
}

/** Values at which numbers and lengths go wrong. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff];
/** Longest input made by repeating a part. */
const MAX_LENGTH = 65_536;

/** @param dictionary words of the language, put in at random places. */
export function createMutator(random: Random, corpus: readonly Buffer[], dictionary: readonly string[] = []): Mutator {
  const place = (bytes: Buffer): number => random.between(0, bytes.length);
  const range = (bytes: Buffer): [from: number, to: number] => {
    const from = place(bytes);
    return [from, Math.min(bytes.length, from + random.between(1, 16))];
  };
  const insert = (bytes: Buffer, at: number, what: Buffer): Buffer =>
    Buffer.concat([bytes.subarray(0, at), what, bytes.subarray(at)]);
  const steps: ((bytes: Buffer) => Buffer)[] = [
    (bytes) => {
      const copy = Buffer.from(bytes);
      if (copy.length > 0) copy[random.between(0, copy.length - 1)] = random.between(0, 255);
      return copy;
    },
    (bytes) => {
      const copy = Buffer.from(bytes);
      if (copy.length > 0) copy[random.between(0, copy.length - 1)] = random.pick(EDGES);
      return copy;
    },
    (bytes) => {
      const copy = Buffer.from(bytes);
      const at = random.between(0, Math.max(0, copy.length - 1));
      if (copy.length > 0) copy[at] = (copy[at] as number) ^ (1 << random.between(0, 7));
      return copy;
    },
    (bytes) => {
      const [from, to] = range(bytes);
      return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
    },
    (bytes) => {
      const [from, to] = range(bytes);
      return insert(bytes, place(bytes), Buffer.from(bytes.subarray(from, to)));
    },
    (bytes) => bytes.subarray(0, place(bytes)),
    (bytes) => {
      const other = random.pick(corpus);
      return Buffer.concat([bytes.subarray(0, place(bytes)), other.subarray(place(other))]);
    },
    (bytes) => {
      const [from, to] = range(bytes);
      const part = bytes.subarray(from, to);
      const times = Math.min(random.pick([2, 10, 100, 3_000]), Math.floor(MAX_LENGTH / Math.max(1, part.length)));
      return insert(bytes, from, Buffer.concat(Array.from({ length: times }, () => part)));
    },
    (bytes) =>
      insert(
        bytes,
        place(bytes),
        Buffer.from(Array.from({ length: random.between(1, 8) }, () => random.between(0, 255))),
      ),
  ];
  if (dictionary.length > 0)
    for (let weight = 0; weight < 3; weight += 1)
      steps.push((bytes) => insert(bytes, place(bytes), Buffer.from(random.pick(dictionary))));
  return {
    next() {
      let bytes: Buffer = random.pick(corpus);
      for (let count = random.between(1, 4); count > 0; count -= 1) bytes = random.pick(steps)(bytes);
      return bytes;
    },
  };
}
