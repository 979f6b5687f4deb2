import { IsthmusError } from '../lib/errors.ts';

const REDACTED = '[redacted]';
/** Ends of field names, lower case without separators, whose values never reach a log. */
const SECRET_NAME = /(token|secret|secretid|privatekey|password|passphrase|authorization|encryptionkey|cookie)$/;
const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g;
const MAX_DEPTH = 6;

/** A copy of `value` fit for a log: secrets are replaced, errors become plain objects. */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return redactText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth > MAX_DEPTH) return '…';
  if (value instanceof Error) return describeError(value, depth);
  if (value instanceof Date) return value;
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  if (value instanceof Map) return redact(Object.fromEntries(value), depth);
  if (value instanceof Set) return redact([...value], depth);
  const copy: Record<string, unknown> = {};
  for (const [name, item] of Object.entries(value)) {
    const hidden = item !== '' && item !== undefined && item !== null && isSecretName(name);
    copy[name] = hidden ? REDACTED : redact(item, depth + 1);
  }
  return copy;
}

/** Takes private keys in PEM out of a text. */
export function redactText(text: string): string {
  return text.includes('PRIVATE KEY') ? text.replace(PRIVATE_KEY, REDACTED) : text;
}

function isSecretName(name: string): boolean {
  return SECRET_NAME.test(name.toLowerCase().replace(/[-_. ]/g, ''));
}

function describeError(error: Error, depth: number): Record<string, unknown> {
  const code = error instanceof IsthmusError ? error.code : (error as NodeJS.ErrnoException).code;
  // A stack is for defects; for the rest it is noise.
  const defect = !(error instanceof IsthmusError) || error.code === 'internal';
  return {
    ...(code !== undefined && { code }),
    message: redactText(error.message),
    ...(defect && error.stack !== undefined && { stack: redactText(error.stack) }),
    ...(error.cause !== undefined && { cause: redact(error.cause, depth + 1) }),
  };
}
