import { randomUUID } from 'node:crypto';

/** 8-4-4-4-12 hexadecimal digits, any version: Consul generates random IDs without version bits. */
const UUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function isUuid(text: string): boolean {
  return UUID_PATTERN.test(text);
}

export function newUuid(): string {
  return randomUUID();
}
