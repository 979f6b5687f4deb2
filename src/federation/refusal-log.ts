import type { Hello } from '../rpc/transport/handlers.ts';
import type { Logger } from '../telemetry/types.ts';

/** Refusals that are remembered; beyond it all are forgotten. */
const MAX_REMEMBERED = 1_000;

/** Whoever dials is refused again every few seconds: logged once, until a link with it comes about. */
export class RefusalLog {
  /** Why servers that dial this one are refused, by node and datacenter. */
  readonly #logged = new Map<string, string>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @param peer its address @param hello what it said of itself, when that has the form of a Hello */
  note(peer: string, hello: Hello | undefined, reason: string): void {
    const key = hello === undefined ? peer.replace(/:\d+$/, '') : keyOf(hello); // its port is another one each time
    if (this.#logged.get(key) === reason) return;
    if (this.#logged.size >= MAX_REMEMBERED) this.#logged.clear();
    this.#logged.set(key, reason);
    const server = hello === undefined ? {} : { server: hello.node, datacenter: hello.datacenter };
    this.#log.error('refused to federate', { peer, ...server, reason });
  }

  forget(hello: Hello): void {
    this.#logged.delete(keyOf(hello));
  }
}

function keyOf({ datacenter, node }: Hello): string {
  return `${node}.${datacenter}`;
}
