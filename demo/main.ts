import { Bed } from './bed.ts';
import { Screen } from './screen.ts';
import { SECURE_START, START, STORIES, type Story } from './stories/story.ts';

/** As shells report an end by SIGINT. */
const INTERRUPTED = 130;
const MISUSED = 2;

const keep = process.argv.includes('--keep');
const screen = new Screen();
const secure = process.argv.includes('--secure');
const bed = new Bed({ secure });

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
  if (at < 0) return STORIES;
  const names = (process.argv[at + 1] ?? '').split(',');
  const found = STORIES.filter(({ name }) => names.includes(name));
  return found.length === names.length ? found : undefined;
}

/** True when every step held. */
async function show(stories: readonly Story[]): Promise<boolean> {
  try {
    for (const { steps } of [secure ? SECURE_START : START, ...stories])
      for (const { title, run } of steps) await screen.step(title, () => run(bed, screen));
    return true;
  } catch {
    return false; // the step has printed why
  }
}

async function main(): Promise<number> {
  const stories = chosen();
  if (stories === undefined) {
    process.stderr.write(`--only takes one or more of: ${STORIES.map(({ name }) => name).join(',')}\n`);
    return MISUSED;
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
