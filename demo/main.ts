import { Bed } from './bed.ts';
import { Screen } from './screen.ts';
import { connectServices, denyAndAllow, federate, rotateUnderLoad, surviveCut } from './steps.ts';

/** As shells report an end by SIGINT. */
const INTERRUPTED = 130;

const keep = process.argv.includes('--keep');
const screen = new Screen();
const bed = new Bed();

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

/** True when every step held. */
async function showSteps(): Promise<boolean> {
  try {
    await screen.step('Two datacenters federate', () => federate(bed, screen));
    await screen.step('web in dc1 reaches db in dc2', () => connectServices(bed, screen));
    await screen.step('Intentions, written anywhere', () => denyAndAllow(bed, screen));
    await screen.step('The root rotates under load', () => rotateUnderLoad(bed, screen));
    await screen.step('The WAN is cut and healed', () => surviveCut(bed, screen));
    return true;
  } catch {
    return false; // the step has told why
  }
}

async function main(): Promise<number> {
  screen.heading('Isthmus: two datacenters, one mesh');
  const ok = await Promise.race([showSteps(), interruption]);
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
