import { IsthmusError } from '../errors.ts';

/** Where something stands in its file; both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface ScalarNode {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  readonly at: Position;
}

export interface ListNode {
  readonly kind: 'list';
  readonly items: readonly ConfigNode[];
  readonly at: Position;
}

export interface ObjectNode {
  readonly kind: 'object';
  /** In file order; in HCL a key may stand several times (repeated blocks). */
  readonly entries: readonly Entry[];
  readonly at: Position;
}

export interface Entry {
  readonly key: string;
  readonly at: Position;
  readonly value: ConfigNode;
}

/** A parsed value with its position: what both HCL and JSON become. A label is a nested object with one key. */
export type ConfigNode = ScalarNode | ListNode | ObjectNode;

/** Nesting beyond this is refused, so that hostile input can't exhaust the stack. */
export const MAX_DEPTH = 64;

/** `file:line: text`, with file, line and column as details. */
export function positionError(file: string, at: Position, text: string): IsthmusError {
  return new IsthmusError('invalid_argument', `${file}:${at.line}: ${text}`, {
    details: { file, line: at.line, column: at.column },
  });
}

/**
 * The plain value behind a node. Blocks that stand several times become a list, a single one an object;
 * of a repeated scalar the last one counts. Objects have no prototype, so that any key is just a key.
 */
export function toPlain(node: ConfigNode): unknown {
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(toPlain);
  const result: Record<string, unknown> = Object.create(null);
  const blocks = new Map<string, unknown[]>();
  for (const { key, value } of node.entries) {
    const plain = toPlain(value);
    if (value.kind !== 'object') {
      blocks.delete(key);
      result[key] = plain;
      continue;
    }
    const seen = blocks.get(key);
    if (seen === undefined) {
      blocks.set(key, [plain]);
      result[key] = plain;
    } else {
      seen.push(plain);
      result[key] = seen;
    }
  }
  return result;
}
