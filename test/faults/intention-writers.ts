import type { Intention, IntentionAction } from '../../src/model/intention.ts';
import { type AgentProcess, callAgent, type Random } from '../harness/index.ts';

/** An action, or undefined for "no such intention". */
type State = IntentionAction | undefined;

interface Pair {
  readonly source: string;
  readonly destination: string;
  /** What it may be now: one state when all is acknowledged, two after a write whose outcome is not known. */
  possible: readonly State[];
  id: string | undefined;
}

export interface WriterCounts {
  acknowledged: number;
  refused: number;
  inDoubt: number;
}

const DESTINATIONS = 12;

/**
 * Writes random intentions and remembers what must be there in the end. Each pair of services is written by one step at
 * a time, so that the order of acknowledgements is the order of writes; a pair with a write in doubt is left alone from
 * then on, because that write may still be carried out later.
 */
export class IntentionWriters {
  readonly counts: WriterCounts = { acknowledged: 0, refused: 0, inDoubt: 0 };
  readonly #random: Random;
  readonly #pairs: Pair[] = [];
  readonly #free: Pair[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /** One random write to an agent; false when it was surely not carried out. */
  async write(agent: AgentProcess): Promise<boolean> {
    const pair = this.#take();
    const [before] = pair.possible;
    const action = this.#random.pick(['allow', 'deny'] as const);
    const wish = before === undefined ? 'create' : this.#random.pick(['update', 'update', 'delete'] as const);
    const after = wish === 'delete' ? undefined : action;
    try {
      const { status, body } = await this.#send(agent, pair, wish, action);
      if (status === 200) {
        this.counts.acknowledged += 1;
        if (wish === 'create') pair.id = idIn(body);
        if (wish === 'delete') pair.id = undefined;
        pair.possible = [after];
        this.#free.push(pair);
        return true;
      }
      if (body.includes('non-existent intention')) {
        // a write of a neighbour by its pair took the IDs of the whole entry away, as Consul does
        pair.id = undefined;
        this.counts.refused += 1;
        this.#free.push(pair);
        return false;
      }
      if (body.includes('No path to datacenter')) {
        this.counts.refused += 1; // it never left the secondary
        this.#free.push(pair);
        return false;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED') {
        this.counts.refused += 1;
        this.#free.push(pair);
        return false;
      }
    }
    this.counts.inDoubt += 1;
    pair.possible = [before, after];
    return true;
  }

  /** What is not as acknowledged; empty when all is. */
  async wrongIn(agent: AgentProcess): Promise<string[]> {
    const wrong: string[] = [];
    const found = new Map((await intentionsOf(agent)).map((line) => [keyOf(line), line.Action]));
    for (const pair of this.#pairs) {
      const key = `${pair.source}>${pair.destination}`;
      const state = found.get(key);
      if (!pair.possible.includes(state)) wrong.push(`${key} is ${state}, must be ${pair.possible.join(' or ')}`);
      found.delete(key);
    }
    for (const [key, action] of found) wrong.push(`${key} is ${action}, was never written`);
    return wrong;
  }

  #take(): Pair {
    if (this.#free.length > 20 || (this.#free.length > 0 && this.#random.next() < 0.5)) {
      const [pair] = this.#free.splice(this.#random.between(0, this.#free.length - 1), 1);
      if (pair !== undefined) return pair;
    }
    const number = this.#pairs.length;
    const pair: Pair = {
      source: `from-${number}`,
      destination: `to-${number % DESTINATIONS}`, // many share an entry
      possible: [undefined],
      id: undefined,
    };
    this.#pairs.push(pair);
    return pair;
  }

  #send(agent: AgentProcess, pair: Pair, wish: 'create' | 'update' | 'delete', action: IntentionAction) {
    const { source, destination, id } = pair;
    const exact = `/v1/connect/intentions/exact?source=${source}&destination=${destination}`;
    const body = { SourceName: source, DestinationName: destination, SourceType: 'consul', Action: action };
    // Both ways of writing: by ID, and by the pair.
    if (wish === 'create' && this.#random.next() < 0.3) return agent.http('POST', '/v1/connect/intentions', body);
    if (wish === 'delete')
      return id === undefined ? agent.http('DELETE', exact) : agent.http('DELETE', `/v1/connect/intentions/${id}`);
    if (wish === 'update' && id !== undefined) return agent.http('PUT', `/v1/connect/intentions/${id}`, body);
    return agent.http('PUT', exact, { SourceType: 'consul', Action: action });
  }
}

/** Everything about the intentions that both datacenters must agree on, in one order. */
export async function intentionsText(agent: AgentProcess): Promise<string> {
  const lines = (await intentionsOf(agent)).map(
    ({ CreateIndex: _create, ModifyIndex: _modify, Hash: _hash, ...rest }) => JSON.stringify(rest),
  );
  return lines.sort().join('\n');
}

async function intentionsOf(agent: AgentProcess): Promise<readonly Intention[]> {
  return callAgent<readonly Intention[]>(agent, 'GET', '/v1/connect/intentions');
}

function keyOf({ SourceName, DestinationName }: Intention): string {
  return `${SourceName}>${DestinationName}`;
}

function idIn(body: string): string | undefined {
  const answer = JSON.parse(body) as { readonly ID?: string } | boolean;
  return typeof answer === 'object' ? answer.ID : undefined;
}
