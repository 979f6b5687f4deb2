import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { installEnvoy } from './envoy.mjs';
import { runVitest } from './vitest-run.mjs';

/**
 * What `npm test -- --tier NAME` runs beside the default tests: what takes too long, or needs another Node or program.
 * A new tier is one entry here; CONTRIBUTING.md lists them.
 * @typedef {object} Tier
 * @property {string} about
 * @property {string} [node] line of Node that everything runs on, had from npm; absent: the machine's
 * @property {readonly string[]} [envoys] versions of Envoy, each of which everything is run with; absent: the usual one
 * @property {Readonly<Record<string, string>>} [env] laid over the environment
 * @property {readonly Step[]} steps one after the other
 */

/**
 * Tests, each of which counts; or a script, which counts as one test.
 * @typedef {{ readonly tests: readonly string[] } | { readonly script: readonly string[] }} Step
 */

/** @typedef {import('./vitest-run.mjs').Counts} Counts */

/**
 * What shows that the program works on a Node: both APIs against what Consul answered, the stores, and the demo.
 * @type {readonly Step[]}
 */
const SMOKE = [{ tests: ['test/contract', 'test/conformance'] }, { script: ['scripts/demo.mjs'] }];

/** @type {Readonly<Record<string, Tier>>} */
export const TIERS = {
  smoke: { about: 'contract and conformance suites and the demo, on this Node', steps: SMOKE },
  envoy: {
    about: 'all tests with Envoys, with every supported version, and a thousand generated steps of entries each',
    envoys: ['1.36.4', '1.37.0', '1.38.3', '1.40.0'],
    env: { ISTHMUS_TEST_SEQUENCES: '1000' },
    steps: [{ tests: ['--no-file-parallelism', 'test/e2e/envoy', 'test/e2e/requests-differential'] }],
  },
  'demo-envoy': {
    about: 'the demo with real Envoys',
    steps: [{ script: ['scripts/demo.mjs', '--envoy'] }],
  },
  locks: {
    about: 'keys and locks while servers are killed, paused and cut off, for long',
    env: { ISTHMUS_TEST_HISTORY_STEPS: '300', ISTHMUS_TEST_LOCK_HOLDS: '8' },
    steps: [{ tests: ['--no-file-parallelism', 'test/faults/kv-history'] }],
  },
  node24: { about: 'the same as smoke on Node 24', node: '24', steps: SMOKE },
  node26: { about: 'the same as smoke on Node 26', node: '26', steps: SMOKE },
};

/**
 * What the arguments of `npm test` say about tiers. A name that is not there is found when it is run.
 * @param {readonly string[]} args
 * @returns {{ readonly only: readonly string[], readonly also: readonly string[], readonly rest: readonly string[] }}
 */
export function tiersOf(args) {
  /** @type {{ only: string[], also: string[], rest: string[] }} */
  const found = { only: [], also: [], rest: [] };
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? '';
    if (arg === '--tier' || arg === '--and-tier') {
      at += 1;
      (arg === '--tier' ? found.only : found.also).push(args[at] ?? '');
    } else found.rest.push(arg);
  }
  return found;
}

/**
 * Runs a tier to its end and counts. What can't be run (an unknown name, a Node that can't be had) counts as failed.
 * @param {string} root
 * @param {string} name
 * @param {Readonly<Record<string, Tier>>} [tiers]
 * @returns {Counts}
 */
export function runTier(root, name, tiers = TIERS) {
  const tier = Object.hasOwn(tiers, name) ? tiers[name] : undefined;
  if (tier === undefined) {
    const known = Object.entries(tiers).map(([one, { about }]) => `  ${one}: ${about}`);
    console.error(`there is no tier ${JSON.stringify(name)}; there are\n${known.join('\n')}`);
    return { passed: 0, failed: 1 };
  }
  console.log(`--- tier ${name}: ${tier.about}`);
  const node = tier.node === undefined ? process.execPath : installNode(root, tier.node);
  if (node === undefined) return { passed: 0, failed: 1 };
  const counts = { passed: 0, failed: 0 };
  for (const version of tier.envoys ?? [undefined]) {
    const bin = version === undefined ? undefined : envoyOf(version);
    if (bin === '') {
      counts.failed += 1;
      continue;
    }
    // Programs that the tests start find the same Node first.
    const path = { PATH: `${join(node, '..')}:${process.env.PATH}` };
    const envoy = bin === undefined ? {} : { ENVOY_BIN: bin };
    const env = { ...process.env, ...path, ...tier.env, ...envoy };
    for (const step of tier.steps) {
      const shown = 'tests' in step ? `vitest ${step.tests.join(' ')}` : step.script.join(' ');
      console.log(`--- ${version === undefined ? '' : `Envoy ${version}: `}${shown}`);
      const { passed, failed } =
        'tests' in step ? runVitest(root, step.tests, { node, env }) : runScript(root, node, step.script, env);
      counts.passed += passed;
      counts.failed += failed;
    }
  }
  return counts;
}

/**
 * @param {string} root
 * @param {string} node
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 * @returns {Counts}
 */
function runScript(root, node, args, env) {
  const { status } = spawnSync(node, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
  if (status === 0) return { passed: 1, failed: 0 };
  console.error(`--- ${args.join(' ')} failed`);
  return { passed: 0, failed: 1 };
}

/**
 * Path of that version; '' when it can't be had, which is printed.
 * @param {string} version
 */
function envoyOf(version) {
  try {
    return installEnvoy(version);
  } catch (error) {
    console.error(`--- Envoy ${version} could not be had: ${error instanceof Error ? error.message : error}`);
    return '';
  }
}

/**
 * The newest release of a line of Node for this machine: an npm package holds nothing but the binary.
 * @param {string} root
 * @param {string} line
 * @returns {string | undefined} path of the binary
 */
function installNode(root, line) {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(root, '.tmp', 'tiers', `node${line}`);
  const binary = join(folder, 'node_modules', name, 'bin', 'node');
  if (!existsSync(binary)) {
    console.log(`--- install ${name}@${line}`);
    const args = ['install', '--prefix', folder, '--no-save', '--no-audit', '--no-fund', `${name}@${line}`];
    const { status } = spawnSync('npm', args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    if (status !== 0 || !existsSync(binary)) {
      console.error(`--- Node ${line} could not be had: npm install ${name}@${line} brought no ${binary}`);
      return undefined;
    }
  }
  const { stdout } = spawnSync(binary, ['--version'], { encoding: 'utf8' });
  if (stdout?.startsWith(`v${line}.`)) {
    console.log(`--- Node ${stdout.trim()}`);
    return binary;
  }
  console.error(`--- ${binary} does not run as Node ${line}`);
  return undefined;
}
