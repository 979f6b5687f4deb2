import { malformed } from './der.ts';

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,64})-----\r?\n([A-Za-z0-9+/=\r\n]*)-----END \1-----/g;
/** A text with more than this is no chain of certificates. */
const MAX_TEXT = 1 << 20;

/** One PEM block; the text ends with a newline. */
export function toPem(label: string, der: Buffer): string {
  const base64 = der.toString('base64');
  let body = '';
  for (let at = 0; at < base64.length; at += 64) body += `${base64.slice(at, at + 64)}\n`;
  return `-----BEGIN ${label}-----\n${body}-----END ${label}-----\n`;
}

/** The DER of every block with `label`, in order; text between blocks is skipped. */
export function fromPem(label: string, text: string): Buffer[] {
  if (text.length > MAX_TEXT) throw malformed('too long');
  const blocks: Buffer[] = [];
  for (const [, found, body] of text.matchAll(BLOCK)) {
    if (found !== label) continue;
    const base64 = (body as string).replace(/[\r\n]/g, '');
    const bytes = Buffer.from(base64, 'base64');
    if (bytes.length === 0 || bytes.toString('base64') !== base64) throw malformed('base64');
    blocks.push(bytes);
  }
  return blocks;
}

/** The DER of the only block with `label`. */
export function oneFromPem(label: string, text: string): Buffer {
  const [block, ...more] = fromPem(label, text);
  if (block === undefined || more.length > 0) throw malformed(`not exactly one PEM block of type ${label}`);
  return block;
}

/** The certificates of a chain, each as a PEM text of its own. */
export function splitPem(chain: string): string[] {
  return fromPem('CERTIFICATE', chain).map((block) => toPem('CERTIFICATE', block));
}

/** Certificates as one text, each once, in order. */
export function joinPem(certs: readonly string[]): string {
  return [...new Set(certs)].join('');
}
