/** A failed connection in the words of Consul, which operators and their tools know. */
export function dialError(error: unknown, address: string): string {
  const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
  const text = DIAL_TEXTS[code];
  if (text !== undefined) return `dial tcp ${address}: ${text}`;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `dial tcp: lookup ${hostOf(address)}: no such host`;
  return message;
}

const DIAL_TEXTS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  ECONNRESET: 'connect: connection reset by peer',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  EADDRNOTAVAIL: 'connect: cannot assign requested address',
  ETIMEDOUT: 'i/o timeout',
};

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}

/** The error that stands for a run that took too long. */
export function timeoutError(): Error {
  return Object.assign(new Error('i/o timeout'), { code: 'ETIMEDOUT' });
}

/** How long a probe may take when its definition does not say, milliseconds. */
export const DEFAULT_TIMEOUT_MS = 10_000;
