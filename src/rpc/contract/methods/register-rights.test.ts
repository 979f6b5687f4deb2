import { describe, expect, it } from 'vitest';
import type { DeregisterRequest, RegisterRequest } from '../../../model/catalog.ts';
import type { Rights } from '../../../model/rights.ts';
import type { StoredFacts } from './method.ts';
import { mayDeregister, mayRegister } from './register-rights.ts';

/**
 * What is stored: `n1` with `web-1` of web and `bank-1` of bank, each with a check, a check of the node, and the node
 * `other`.
 */
const N1 = {
  Node: 'n1',
  ID: '11111111-0000-0000-0000-00000000000a',
  Address: '10.0.0.1',
  TaggedAddresses: { wan: '192.0.2.1' },
  Meta: { rack: '1' },
};
const OTHER = { Node: 'other', ID: '22222222-0000-0000-0000-00000000000b', Address: '10.0.0.2' };

const NODES = [N1, { ...OTHER, TaggedAddresses: null, Meta: null }];
const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
const FACTS: StoredFacts = {
  node: (name) => NODES.find(({ Node }) => same(Node, name)),
  nodeWithId: (id) => NODES.find(({ ID }) => same(ID, id))?.Node,
  services: (name) =>
    same(name, 'n1')
      ? [
          { ID: 'web-1', Service: 'web' },
          { ID: 'bank-1', Service: 'bank' },
        ]
      : [],
  checks: (name) =>
    same(name, 'n1')
      ? [
          { CheckID: 'web-check', ServiceName: 'web' },
          { CheckID: 'bank-check', ServiceName: 'bank' },
          { CheckID: 'node-check', ServiceName: '' },
        ]
      : [],
  intentionDestination: () => undefined,
  queryName: () => undefined,
  sessionNode: () => undefined,
  csrUri: () => undefined,
};

/** Rights to write exactly these, as `node:n1`. */
function writes(...what: readonly string[]): Rights {
  const may = (resource: string, name: string): boolean => what.includes(`${resource}:${name.toLowerCase()}`);
  return {
    everything: false,
    replication: false,
    may,
    mayBelow: () => false,
    mayAny: () => false,
    mayAll: () => false,
  };
}

const { Meta: NodeMeta, ...n1 } = N1;
/** n1's row as it is stored. */
const UNCHANGED = { ...n1, NodeMeta };
const WEB = { ID: 'web-1', Service: 'web' };

/** What is written, and all that it takes: it is refused without any one of them. */
const REGISTRATIONS: readonly (readonly [string, RegisterRequest, readonly string[]])[] = [
  ['a service on a node that stays as it is', { ...UNCHANGED, Service: WEB }, ['service:web']],
  ['a service on a node that is left alone', { Node: 'n1', SkipNodeUpdate: true, Service: WEB }, ['service:web']],
  ['a new node', { Node: 'n3', Address: '10.0.0.3' }, ['node:n3']],
  ['a new node that is to be left alone', { Node: 'n3', SkipNodeUpdate: true }, ['node:n3']],
  ['another address', { ...UNCHANGED, Address: '10.9.9.9', Service: WEB }, ['service:web', 'node:n1']],
  [
    'another WAN address',
    { ...UNCHANGED, TaggedAddresses: { wan: '6.6.6.6' }, Service: WEB },
    ['service:web', 'node:n1'],
  ],
  ['no tagged addresses', { ...UNCHANGED, TaggedAddresses: null, Service: WEB }, ['service:web', 'node:n1']],
  ['other metadata', { ...UNCHANGED, NodeMeta: { rack: '2' }, Service: WEB }, ['service:web', 'node:n1']],
  ['another spelling of the name', { ...UNCHANGED, Node: 'N1', Service: WEB }, ['service:web', 'node:n1']],
  ['no ID', { ...UNCHANGED, ID: '', Service: WEB }, ['service:web', 'node:n1']],
  [
    'the ID of another node, on a new one',
    { Node: 'n3', Address: '10.0.0.3', ID: OTHER.ID },
    ['node:n3', 'node:other'],
  ],
  [
    'the ID of another node in upper case',
    { Node: 'n3', Address: '10.0.0.3', ID: OTHER.ID.toUpperCase() },
    ['node:n3', 'node:other'],
  ],
  [
    'the ID of another node, on a new one left alone',
    { Node: 'n3', ID: OTHER.ID, SkipNodeUpdate: true },
    ['node:n3', 'node:other'],
  ],
  ['the ID of another node, on a known one', { ...UNCHANGED, ID: OTHER.ID }, ['node:n1', 'node:other']],
  [
    'an instance of another service',
    { ...UNCHANGED, Service: { ID: 'bank-1', Service: 'web' } },
    ['service:web', 'service:bank'],
  ],
  [
    'the same in upper case',
    { ...UNCHANGED, Service: { ID: 'BANK-1', Service: 'web' } },
    ['service:web', 'service:bank'],
  ],
  [
    'the instance that its name is the ID of',
    { ...UNCHANGED, Service: { Service: 'web-1' } },
    ['service:web-1', 'service:web'],
  ],
  ['a check of a service', { ...UNCHANGED, Check: { CheckID: 'new', ServiceID: 'web-1' } }, ['service:web']],
  [
    'a check of a service in upper case',
    { ...UNCHANGED, Check: { CheckID: 'new', ServiceID: 'WEB-1' } },
    ['service:web'],
  ],
  ['a check of the node', { ...UNCHANGED, Check: { CheckID: 'new' } }, ['node:n1']],
  [
    'a check of another service',
    { ...UNCHANGED, Check: { CheckID: 'bank-check', ServiceID: 'web-1' } },
    ['service:web', 'service:bank'],
  ],
  [
    'the same by its name alone',
    { ...UNCHANGED, Check: { Name: 'BANK-check', ServiceID: 'web-1' } },
    ['service:web', 'service:bank'],
  ],
  [
    'the node’s check for a service',
    { ...UNCHANGED, Check: { CheckID: 'node-check', ServiceID: 'web-1' } },
    ['service:web', 'node:n1'],
  ],
  ['a service’s check for the node', { ...UNCHANGED, Check: { CheckID: 'web-check' } }, ['service:web', 'node:n1']],
  [
    'one of several checks of another service',
    {
      ...UNCHANGED,
      Service: WEB,
      Checks: [
        { CheckID: 'web-check', ServiceID: 'web-1' },
        { CheckID: 'x', ServiceID: 'bank-1' },
      ],
    },
    ['service:web', 'service:bank'],
  ],
];

const DEREGISTRATIONS: readonly (readonly [string, DeregisterRequest, readonly string[]])[] = [
  ['a node', { Node: 'n1' }, ['node:n1']],
  ['an instance', { Node: 'n1', ServiceID: 'web-1' }, ['service:web']],
  ['an instance in another spelling', { Node: 'N1', ServiceID: 'WEB-1' }, ['service:web']],
  [
    'an instance, with a check of another service beside it',
    { Node: 'n1', ServiceID: 'web-1', CheckID: 'bank-check' },
    ['service:web'],
  ],
  ['a check of a service', { Node: 'n1', CheckID: 'Web-Check' }, ['service:web']],
  ['a check of the node', { Node: 'n1', CheckID: 'node-check' }, ['node:n1']],
];

const EVERY = ['node:n1', 'node:n3', 'node:other', 'service:web', 'service:bank', 'service:web-1'];

describe.each(REGISTRATIONS)('registering %s', (_what, request, needs) => {
  it(`takes ${needs.join(' and ')}`, () => {
    expect(mayRegister(writes(...needs), request, FACTS)).toBe(true);
    for (const need of needs)
      expect([need, mayRegister(writes(...EVERY.filter((one) => one !== need)), request, FACTS)]).toEqual([
        need,
        false,
      ]);
  });
});

describe.each(DEREGISTRATIONS)('deregistering %s', (_what, request, needs) => {
  it(`takes ${needs.join(' and ')}`, () => {
    expect(mayDeregister(writes(...needs), request, FACTS)).toBe(true);
    // who may write the node may clear it
    const without = EVERY.filter((one) => !needs.includes(one) && one !== 'node:n1');
    expect(mayDeregister(writes(...without), request, FACTS)).toBe(false);
  });
});
