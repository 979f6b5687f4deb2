import { readFileSync } from 'node:fs';
import { type Invitation, parseInvitation } from '../../domain/enrolment/invitation-text.ts';
import { Backoff } from '../../lib/backoff.ts';
import type { Clock } from '../../lib/clock.ts';
import { hasCode, IsthmusError } from '../../lib/errors.ts';
import { sleep } from '../../lib/signals.ts';
import { enrolWithFingerprint } from '../../rpc/transport/enrol-client.ts';
import type { EnrolReply } from '../../rpc/transport/enrol-wire.ts';
import type { Logger } from '../../telemetry/types.ts';
import type { SecurityOptions } from './options.ts';

/** A joiner tries so long to reach who invited it, milliseconds. */
const JOIN_MS = 120_000;
/** Between two looks whether something is to be renewed, milliseconds. */
const LONGEST_PAUSE_MS = 3_600_000;
const SHORTEST_PAUSE_MS = 500;

/** The invitation that the configuration names; throws when it is not for this agent. */
export function readInvitation(options: SecurityOptions): Invitation {
  const { joinInvite, datacenter, primaryDatacenter, domain, server } = options;
  let text: string;
  try {
    text = readFileSync(joinInvite, 'utf8');
  } catch (cause) {
    throw new IsthmusError('invalid_argument', `join_invite ${JSON.stringify(joinInvite)} can't be read`, { cause });
  }
  const invitation = parseInvitation(text);
  const wrong = (what: string): IsthmusError => new IsthmusError('invalid_argument', `join_invite: ${what}`);
  if (invitation.domain !== domain) throw wrong(`it is for domain "${invitation.domain}": set domain to it`);
  if (!server) {
    if (invitation.kind !== 'agent')
      throw wrong('it is for the first server of a datacenter, and this is a client agent');
    if (invitation.datacenter !== datacenter)
      throw wrong(`it is for agents of datacenter "${invitation.datacenter}": set datacenter to it`);
    return invitation;
  }
  if (invitation.kind !== 'datacenter') throw wrong('it is for a client agent, and this is a server');
  if (invitation.datacenter !== primaryDatacenter)
    throw wrong(`it is of primary "${invitation.datacenter}": set primary_datacenter to it`);
  return invitation;
}

/** Uses an invitation; tries again while no server is reached, and gives up at once when it is refused. */
export async function useInvitation(
  { addresses, datacenter, domain, fingerprint, secret }: Invitation,
  joiner: { readonly options: SecurityOptions; readonly csr: string; readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<EnrolReply> {
  const { options, csr, clock, log } = joiner;
  const request = { op: 'join', secret, datacenter: options.datacenter, node: options.node, csr } as const;
  const backoff = new Backoff({ baseMs: 200, maxMs: 5_000 });
  const end = clock.steady() + JOIN_MS;
  for (;;) {
    try {
      return await firstAnswer(addresses, (address) =>
        enrolWithFingerprint({ address, datacenter, domain }, fingerprint, request, clock),
      );
    } catch (error) {
      if (!hasCode(error, 'unavailable', 'deadline') || clock.steady() >= end) throw error;
      log.warn('could not join yet', { error: error.message });
    }
    await sleep(clock, backoff.next(), signal);
  }
}

/** The first answer; an error that another address would not heal is thrown at once. */
export async function firstAnswer(
  addresses: readonly string[],
  ask: (address: string) => Promise<EnrolReply>,
): Promise<EnrolReply> {
  let last: unknown = new IsthmusError('unavailable', 'no address of a server is known');
  for (const address of addresses) {
    try {
      return await ask(address);
    } catch (error) {
      if (hasCode(error, 'permission_denied', 'invalid_argument')) throw error;
      last = error;
    }
  }
  throw last;
}

/** How long something is good, milliseconds since 1970. */
export interface Life {
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Clocks of machines that are this far apart are wrong, milliseconds. */
const SKEW_MS = 4 * 60_000;

/** Milliseconds until half of a life is over; 0 when it is, or when it has not begun because a clock was ahead. */
export function renewalDueIn(life: Life | undefined, now: number): number {
  if (life === undefined) return LONGEST_PAUSE_MS;
  if (isAhead(life, now)) return 0;
  return Math.max(0, Math.ceil((life.notBefore + life.notAfter) / 2 - now));
}

/** True for what was made while a clock was ahead. */
export function isAhead(life: Life, now: number): boolean {
  return now < life.notBefore - SKEW_MS;
}

/** How long a loop that renews waits: clocks jump, and what could not be renewed for good must not spin. */
export function renewalPause(dueInMs: number): number {
  return Math.min(LONGEST_PAUSE_MS, Math.max(SHORTEST_PAUSE_MS, dueInMs));
}
