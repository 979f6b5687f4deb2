import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../test/fakes/fake-clock.ts';
import type { IntentionAction } from '../../model/intention.ts';
import { MemoryEngine } from '../../store/memory/memory-engine.ts';
import { Store } from '../../store/store.ts';
import { createEntries } from '../entries/entries.ts';
import { createIntentions } from './intentions.ts';

const OWN = 'dc1';

interface Rule {
  readonly source: string;
  readonly destination: string;
  readonly sourceDatacenter: string;
  readonly destinationDatacenter: string;
  readonly action: IntentionAction;
}

const rule: fc.Arbitrary<Rule> = fc.record({
  source: fc.constantFrom('a', 'b', '*'),
  destination: fc.constantFrom('x', 'y', '*'),
  sourceDatacenter: fc.constantFrom('', 'dc1', 'dc2'),
  destinationDatacenter: fc.constantFrom('', 'dc1', 'dc2'),
  action: fc.constantFrom<IntentionAction>('allow', 'deny'),
});

const keyOf = (r: Rule): string => [r.source, r.destination, r.sourceDatacenter, r.destinationDatacenter].join('|');

/** The specification, spelled out: try every combination from the most to the least specific. */
function bruteForce(rules: ReadonlyMap<string, Rule>, source: string, destination: string, dcs: [string, string]) {
  for (const [d, s] of [
    [destination, source],
    [destination, '*'],
    ['*', source],
    ['*', '*'],
  ] as const)
    for (const [sourceDc, destinationDc] of [dcs, ['', dcs[1]], [dcs[0], ''], ['', '']] as const) {
      const found = rules.get([s, d, sourceDc, destinationDc].join('|'));
      if (found !== undefined) return found.action === 'allow';
    }
  return true;
}

describe('precedence', () => {
  it('is that of the specification, whatever was written in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), rule), { maxLength: 24 }), async (steps) => {
        const clock = new FakeClock();
        const store = new Store({ engine: new MemoryEngine(clock), clock, onError: () => undefined });
        const entries = createEntries({ store, datacenter: OWN, trustDomain: () => '' });
        const intentions = createIntentions({
          store,
          entries: entries.intentionEntries,
          datacenter: OWN,
          defaultPolicy: 'allow',
          clock,
        });
        await store.start(new AbortController().signal);
        const model = new Map<string, Rule>();
        for (const [remove, step] of steps) {
          const { action, ...pair } = step;
          if (remove) {
            await intentions.deleteExact(pair);
            model.delete(keyOf(step));
          } else {
            await intentions.upsertExact({ ...pair, intention: { Action: action } });
            model.set(keyOf(step), step);
          }
        }
        expect(intentions.reads['intentions.list'].produce({})).toHaveLength(model.size);
        for (const source of ['a', 'b', 'c'])
          for (const destination of ['x', 'y', 'z'])
            for (const sourceDatacenter of ['dc1', 'dc2'])
              for (const destinationDatacenter of ['dc1', 'dc2']) {
                const pair = { source, destination, sourceDatacenter, destinationDatacenter };
                const expected = bruteForce(model, source, destination, [sourceDatacenter, destinationDatacenter]);
                const { Allowed, ToAllow } = intentions.reads['intentions.explain'].produce(pair);
                expect(intentions.reads['intentions.check'].produce(pair).Allowed).toBe(expected);
                expect(Allowed).toBe(expected);
                expect(ToAllow === undefined).toBe(expected);
              }
        await store.stop();
      }),
      { numRuns: 80 },
    );
  });
});
