import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { Clock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { Counter, Logger, Metrics } from '../../telemetry/types.ts';
import { STREAMS } from '../contract/methods/streams.ts';
import { Admission } from './admission.ts';
import { asRequest, ENROL_ALPN, type EnrolReply, type EnrolRequest, readLine, toLine } from './enrol-wire.ts';
import { DEFAULT_LIMITS } from './handlers.ts';
import { Refusals } from './refusals.ts';
import type { PeerIdentity } from './security.ts';
import type { OtherProtocol } from './tls.ts';
import { nameOf } from './verify-error.ts';

export interface EnrolServerDeps {
  /** The one whose port it is. */
  readonly datacenter: string;
  /** @param certificate of the one who asks, verified; absent for who has none yet */
  readonly answer: (request: EnrolRequest, certificate: PeerCertificate | undefined) => Promise<EnrolReply>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Time to send a request, and to read the answer, milliseconds. */
  readonly limitMs?: number;
}

/** Requests at once; more are refused: each costs a signature. */
const MAX_AT_ONCE = 32;

/** Answers those who ask for certificates. */
export class EnrolServer implements OtherProtocol, Service {
  readonly name = 'enrolment';
  readonly alpn = ENROL_ALPN;
  readonly #deps: EnrolServerDeps;
  readonly #limitMs: number;
  readonly #admission: Admission;
  readonly #open = new Set<TLSSocket>();
  readonly #answered: Counter;
  readonly #refusals: Refusals;
  readonly #tasks;

  constructor(deps: EnrolServerDeps) {
    const { clock, log, metrics, limitMs = DEFAULT_LIMITS.handshakeMs } = deps;
    this.#deps = deps;
    this.#limitMs = limitMs;
    this.#admission = new Admission({ datacenter: deps.datacenter, tokensDecide: false });
    this.#answered = metrics.counter({
      name: 'isthmus_tls_enrolments_total',
      help: 'Requests for certificates of agents, by what was asked (join, renew, none) and outcome.',
      labels: ['op', 'code'],
    });
    this.#refusals = new Refusals(clock, log, { add: () => undefined });
    this.#tasks = createTaskGroup({
      clock,
      onError: (task, error) => log.error('background task failed', { task, error: error.message }),
    });
  }

  take(socket: TLSSocket, certificate: PeerCertificate | undefined, peer: PeerIdentity | undefined): void {
    if (this.#open.size >= MAX_AT_ONCE) {
      socket.destroy();
      return;
    }
    this.#open.add(socket);
    socket.once('close', () => this.#open.delete(socket));
    this.#tasks.run('enrolment', () => this.#serve(socket, certificate, peer));
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await this.#tasks.stop();
  }

  async #serve(
    socket: TLSSocket,
    certificate: PeerCertificate | undefined,
    peer: PeerIdentity | undefined,
  ): Promise<void> {
    const { clock, log } = this.#deps;
    const from = socket.remoteAddress ?? '';
    let op = 'none';
    try {
      const request = asRequest(await readLine(socket, clock, this.#limitMs));
      op = request.op;
      const method = op === 'join' ? 'enrolJoin' : 'enrolRenew';
      this.#admission.check(method, STREAMS[method], () => peer);
      const reply = await this.#deps.answer(request, certificate);
      this.#answered.add(1, { op, code: 'ok' });
      log.info('certificate issued', { op, from, ...(certificate === undefined ? {} : { for: nameOf(certificate) }) });
      socket.end(toLine(reply));
    } catch (thrown) {
      const { code, message } = IsthmusError.from(thrown);
      this.#answered.add(1, { op, code });
      this.#refusals.note('enrolment', from, code, message);
      socket.end(toLine({ error: { code, message } }));
    }
    const timer = clock.after(this.#limitMs, () => socket.destroy());
    socket.once('close', () => timer.cancel());
    socket.resume();
  }
}
