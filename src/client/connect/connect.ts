import { type Clock, systemClock } from '../../lib/clock.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { abortable, withDeadline } from '../../lib/signals.ts';
import { createTaskGroup } from '../../lib/task.ts';
import { canonicalDatacenter } from '../../model/names.ts';
import { Dialer, dialOptions } from '../../sidecar/outbound/dialer.ts';
import { OpenConnections } from '../../sidecar/wire/open-connections.ts';
import { PeerReader } from '../../sidecar/wire/peer.ts';
import { createTransport } from '../transport.ts';
import { Callees } from './callees.ts';
import { Callers } from './callers.ts';
import { confirmRoots } from './confirm-roots.ts';
import { Identity } from './identity.ts';
import { callerFrom, callerOf, protectServer } from './protect.ts';
import type { Connect, ConnectOptions, Problem, UpstreamOptions } from './types.ts';
import { NativeUpstream } from './upstream.ts';

const AGENT = '127.0.0.1:8500';
const START_TIMEOUT_MS = 30_000;
const HANDSHAKE_TIMEOUT_MS = 5_000;
const nothing = (): void => undefined;

/** Makes an application a member of the mesh: call `start()` on what it returns, and `stop()` in the end. */
export function createConnect(options: ConnectOptions, clock: Clock = systemClock): Connect {
  const { service, onRefused = nothing, onProblem = nothing, startTimeoutMs = START_TIMEOUT_MS } = options;
  if (service === '') throw new IsthmusError('invalid_argument', 'createConnect needs the name of the service');
  const transport = createTransport({ address: AGENT, ...options.agent });
  const problem = (what: string, error: IsthmusError, retryInMs?: number): void =>
    onProblem({ what, error, ...(retryInMs === undefined ? {} : { retryInMs }) } satisfies Problem);
  const tasks = createTaskGroup({ clock, onError: problem });
  const identity = new Identity({ transport, clock, tasks, service });
  const { trust } = identity;
  const peers = new PeerReader();
  const open = new OpenConnections();
  const callers = new Callers({
    ...{ transport, clock, tasks, service, open },
    onEnded: (peer, text) => onRefused({ caller: callerFrom(peer), from: peer.address, text, wasOpen: true }),
  });
  const calling = new OpenConnections();
  const datacenter = (): string => identity.datacenter;
  const callees = new Callees({ transport, tasks, service, ownDatacenter: datacenter, open: calling });
  const dialer = new Dialer({ clock, peers, trust, meters: { handshake: { observe: nothing } } });
  const upstreams = new Map<string, NativeUpstream>();
  const renewals = new Set<() => void>();
  identity.onChange(() => {
    for (const renew of renewals) renew();
    for (const upstream of upstreams.values()) upstream.refresh();
  });

  const stop = async (): Promise<void> => {
    tasks.cancel();
    await Promise.all([...upstreams.values()].map((upstream) => upstream.stop()));
    await tasks.stop();
    transport.close();
  };

  return {
    service,
    async start() {
      const limit = withDeadline(clock, startTimeoutMs, `the first certificate of ${service}`, tasks.signal);
      try {
        await abortable(identity.start(), limit.signal);
        callers.start();
        callees.start();
        confirmRoots({ transport, clock, tasks, service, identity });
      } catch (error) {
        await stop();
        const { code, message } = IsthmusError.from(error);
        if (code !== 'deadline' || identity.problem === undefined) throw error;
        const text = `${message}: ${identity.problem.message}; see that an agent runs there, or set agent.address`;
        throw new IsthmusError('unavailable', text, { cause: identity.problem });
      } finally {
        limit.release();
      }
    },
    stop,
    get certificateExpires() {
      return identity.expires;
    },
    serverOptions: () => ({
      ...trust().options,
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    }),
    protect(server) {
      protectServer(server, { clock, tasks, trust, peers, callers, open, onRefused });
      const renew = (): void => server.setSecureContext(trust().options);
      renew();
      renewals.add(renew);
      server.once('close', () => renewals.delete(renew));
      return server;
    },
    callerOf,
    clientOptions({ service: name, datacenter: where }) {
      const present = trust();
      const dialee = { service: name, datacenter: canonicalDatacenter(where ?? identity.datacenter) };
      return dialOptions(present, dialee, (shown) => peers.ofDialled(shown, present, clock.now(), ''));
    },
    upstream(wanted) {
      checkUpstream(wanted);
      const key = JSON.stringify(Object.entries(wanted).sort());
      const known = upstreams.get(key);
      if (known !== undefined) return known;
      const made = new NativeUpstream(wanted, {
        ...{ transport, clock, dialer, callees, onProblem },
        open: calling,
        ownDatacenter: datacenter,
      });
      upstreams.set(key, made);
      return made;
    },
  };
}

function checkUpstream({ service = '', query = '', datacenter }: UpstreamOptions): void {
  if ((service === '') === (query === ''))
    throw new IsthmusError('invalid_argument', 'an upstream names either a service or a query');
  if (query !== '' && datacenter !== undefined)
    throw new IsthmusError(
      'invalid_argument',
      'a query says by itself in which datacenters it looks: leave out datacenter',
    );
}
