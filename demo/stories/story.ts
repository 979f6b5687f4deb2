import type { Bed } from '../bed.ts';
import type { Outcome, Screen } from '../screen.ts';
import { CALLER, canary, denyRequests, ECHO, startEnvoys } from './envoy.ts';
import { connectServices, federate } from './federation.ts';
import { failOver, serveFromTwo } from './geo.ts';
import { denyAndAllow } from './intentions.ts';
import { rotateUnderLoad } from './rotation.ts';
import { connectAllowed, joinByInvitation, startLocked } from './secure.ts';
import { surviveCut } from './wan-cut.ts';

export interface Story {
  /** For `--only`. */
  readonly name: string;
  readonly steps: readonly { readonly title: string; readonly run: (bed: Bed, screen: Screen) => Promise<Outcome> }[];
}

/** What every other story starts from. */
export const START: Story = {
  name: 'start',
  steps: [
    { title: 'Two datacenters federate', run: federate },
    { title: 'web in dc1 reaches db in dc2', run: connectServices },
  ],
};

/** The same with access control that denies, and TLS everywhere. */
export const SECURE_START: Story = {
  name: 'secure start',
  steps: [
    { title: 'dc1 refuses requests without a right', run: startLocked },
    { title: 'dc2 joins by an invitation', run: joinByInvitation },
    { title: 'web in dc1 reaches db in dc2', run: connectAllowed },
  ],
};

/** The same with real Envoys as sidecars. */
export const ENVOY_START: Story = {
  name: 'envoy start',
  steps: [
    { title: 'Two datacenters federate', run: federate },
    { title: 'shop in dc1 asks orders in dc2, by Envoys', run: startEnvoys },
  ],
};

export const ENVOY_STORIES: readonly Story[] = [
  { name: 'canary', steps: [{ title: 'A canary gets a tenth, then all', run: canary }] },
  { name: 'deny', steps: [{ title: 'One path of a service is denied', run: denyRequests }] },
  {
    name: 'rotation',
    steps: [
      {
        title: 'The root rotates under load',
        run: (bed, screen) => rotateUnderLoad(bed, screen, bed.envoyOf('dc1', CALLER).upstreamPorts[ECHO]),
      },
    ],
  },
];

/** Each stands by itself. */
export const STORIES: readonly Story[] = [
  { name: 'intentions', steps: [{ title: 'Intentions, written anywhere', run: denyAndAllow }] },
  { name: 'rotation', steps: [{ title: 'The root rotates under load', run: rotateUnderLoad }] },
  { name: 'wan', steps: [{ title: 'The WAN is cut and healed', run: surviveCut }] },
  {
    name: 'geo',
    steps: [
      { title: 'A third datacenter serves db too', run: serveFromTwo },
      { title: 'dc2 dies, and comes back', run: failOver },
    ],
  },
];
