import type { IncomingMessage } from 'node:http';
import type { Clock, Timer } from '../lib/clock.ts';
import { hasCode, IsthmusError } from '../lib/errors.ts';
import { linkSignals } from '../lib/signals.ts';
import type { SidecarConfig, SidecarSource, SidecarUpdate } from '../model/sidecar.ts';
import type { Query } from './options.ts';
import type { Transport } from './transport.ts';

/** Which sidecar it is. */
export type SidecarTarget =
  /** ID of a registered proxy. */
  | { readonly kind: 'proxy'; readonly proxyId: string }
  /** ID of a service; its sidecar is meant. */
  | { readonly kind: 'sidecar-for'; readonly serviceId: string }
  /** Not registered: it carries the identity of `service`, and the command line says where it listens. */
  | {
      readonly kind: 'standalone';
      readonly service: string;
      /** `name[.datacenter]:port` each. */
      readonly upstreams: readonly string[];
      /** UUID of this process, where several have the identity of the service. */
      readonly instance?: string;
      readonly listen?: SidecarConfig['listen'];
      readonly local?: SidecarConfig['local'];
    };

export interface SidecarSourceDeps {
  readonly transport: Transport;
  readonly clock: Clock;
}

export interface SidecarSourceOptions {
  /**
   * A stream without any line for this long is taken for dead. Default 30 s; the agent sends heartbeats more often.
   */
  readonly silenceMs?: number;
}

/** Longest line taken, characters: one update with all endpoints of all upstreams. */
const MAX_LINE = 64 * 1024 * 1024;

/**
 * The agent's stream of updates over HTTP. `updates` is one stream: it throws when that breaks, and who follows it
 * opens the next one, which begins with everything.
 */
export function createSidecarSource(
  deps: SidecarSourceDeps,
  target: SidecarTarget,
  options: SidecarSourceOptions = {},
): SidecarSource {
  const { transport, clock } = deps;
  const silenceMs = options.silenceMs ?? 30_000;
  let session: string | undefined;

  return {
    async *updates(signal) {
      session = undefined;
      const linked = linkSignals(signal);
      let timer: Timer | undefined;
      const alive = (): void => {
        timer?.cancel();
        timer = clock.after(silenceMs, () => {
          linked.abort(new IsthmusError('deadline', `no heartbeat from the agent for ${silenceMs} ms`));
        });
      };
      alive();
      try {
        const path = '/v1/internal/sidecar';
        const call = { signal: linked.signal };
        const body = await transport.stream({ method: 'GET', path, query: queryOf(target), call });
        for await (const line of linesOf(body)) {
          alive();
          const message = parseLine(line);
          if (typeof message.session === 'string') session = message.session;
          else if (typeof message.version === 'number') yield overlay(message as unknown as SidecarUpdate, target);
        }
      } catch (error) {
        if (signal.aborted) return;
        if (linked.signal.aborted) throw linked.signal.reason;
        throw error instanceof IsthmusError ? error : broken(error);
      } finally {
        session = undefined;
        timer?.cancel();
        linked.abort();
        linked.release();
      }
    },

    async acknowledge(version, signal) {
      const id = session;
      if (id === undefined) throw new IsthmusError('unavailable', 'there is no stream to acknowledge to');
      const path = `/v1/internal/sidecar/${encodeURIComponent(id)}/ack`;
      try {
        await transport.text({ method: 'PUT', path, query: { version }, call: { signal } });
      } catch (error) {
        if (!hasCode(error, 'not_found')) throw error; // the agent has closed that stream; the next one starts over
      }
    },
  };
}

function queryOf(target: SidecarTarget): Query {
  switch (target.kind) {
    case 'proxy':
      return { proxy: target.proxyId };
    case 'sidecar-for':
      return { 'sidecar-for': target.serviceId };
    case 'standalone':
      return { service: target.service, upstream: target.upstreams, instance: target.instance };
  }
}

/** What only the command line of a standalone proxy knows. */
function overlay(update: SidecarUpdate, target: SidecarTarget): SidecarUpdate {
  if (target.kind !== 'standalone' || update.config === undefined) return update;
  const { listen, local } = target;
  const config = {
    ...update.config,
    ...(listen === undefined ? {} : { listen }),
    ...(local === undefined ? {} : { local }),
  };
  return { ...update, config };
}

function parseLine(line: string): Readonly<Record<string, unknown>> {
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch (error) {
    throw new IsthmusError('unavailable', 'the agent sent a line that is not JSON', { cause: error });
  }
  if (typeof message !== 'object' || message === null || Array.isArray(message))
    throw new IsthmusError('unavailable', 'the agent sent a line that is not an object');
  return { ...message };
}

async function* linesOf(body: IncomingMessage): AsyncGenerator<string, void, void> {
  let text = '';
  body.setEncoding('utf8');
  for await (const chunk of body as AsyncIterable<string>) {
    let from = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', from)) {
      yield text + chunk.slice(from, end);
      text = '';
      from = end + 1;
    }
    text += chunk.slice(from);
    if (text.length > MAX_LINE) throw new IsthmusError('too_large', `a line has more than ${MAX_LINE} characters`);
  }
}

function broken(cause: unknown): IsthmusError {
  return new IsthmusError('unavailable', 'the connection to the agent broke', { cause });
}
