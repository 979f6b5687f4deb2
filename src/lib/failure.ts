import { IsthmusError } from './errors.ts';

/** How a part says that it ended although it was not stopped: once, to whoever listens. */
export class Failure {
  readonly #listeners = new Set<(cause: IsthmusError) => void>();
  #reported = false;

  readonly onFailure = (listener: (cause: IsthmusError) => void): void => void this.#listeners.add(listener);

  report(cause: unknown): void {
    if (this.#reported) return;
    this.#reported = true;
    for (const listener of this.#listeners) listener(IsthmusError.from(cause));
  }
}

/** What a listening socket says when it can't take one more connection now: it goes on. */
const PASSING: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
  'ENOMEM',
  'ECONNABORTED',
  'ECONNRESET',
  'EPERM', // a firewall's word
  'EPROTO',
  'EINTR',
  'EAGAIN',
]);

/** True when a listener can go on after an error: it could not take one connection, or answer one datagram. */
function passes(error: NodeJS.ErrnoException): boolean {
  return PASSING.has(error.code ?? '');
}

/** What both sockets and servers of Node have. */
interface Listening {
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
  on(event: 'close', listener: () => void): unknown;
}

export interface ListeningDeps {
  /** For texts: which listener, and where. */
  readonly what: string;
  readonly failure: Failure;
  /** Called with an error that the listener survives. */
  readonly onPassing: (error: Error) => void;
  /** True once the listener is meant to close. */
  readonly closing: () => boolean;
}

/** Reports a listener that ends without being closed. Attach it once it is open. */
export function watchListening(socket: Listening, { what, failure, onPassing, closing }: ListeningDeps): void {
  socket.on('error', (error) => {
    if (closing()) return;
    if (passes(error)) onPassing(error);
    else failure.report(new IsthmusError('unavailable', `${what} failed: ${error.message}`, { cause: error }));
  });
  socket.on('close', () => {
    if (!closing()) failure.report(new IsthmusError('unavailable', `${what} was closed from outside`));
  });
}
