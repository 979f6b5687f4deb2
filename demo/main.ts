import { Bed } from './bed.ts';
import { Screen } from './screen.ts';
import { connectServices, denyAndAllow, federate, rotateUnderLoad, surviveCut } from './steps.ts';

const keep = process.argv.includes('--keep');
const screen = new Screen();
const bed = new Bed();
let interrupted = false;

/** Ctrl-C ends the demo at once, but never leaves a process behind. */
const onInterrupt = (): void => {
  if (interrupted) return;
  interrupted = true;
  process.stdout.write('\nstopping everything …\n');
  void bed.stop().then(
    () => process.exit(130),
    () => process.exit(130),
  );
};
process.on('SIGINT', onInterrupt);
process.on('SIGTERM', onInterrupt);

async function main(): Promise<number> {
  screen.heading('Isthmus: two datacenters, one mesh');
  let ok = true;
  try {
    await screen.step('Two datacenters federate', () => federate(bed, screen));
    await screen.step('web in dc1 reaches db in dc2', () => connectServices(bed, screen));
    await screen.step('Intentions, written anywhere', () => denyAndAllow(bed, screen));
    await screen.step('The root rotates under load', () => rotateUnderLoad(bed, screen));
    await screen.step('The WAN is cut and healed', () => surviveCut(bed, screen));
  } catch {
    ok = false; // the step has told why
  }
  if (interrupted) return 130;
  screen.summary();
  if (keep && ok) {
    screen.heading('Left running; Ctrl-C stops everything');
    for (const hint of bed.hints()) process.stdout.write(`  ${hint}\n`);
    await new Promise(() => setInterval(() => undefined, 60_000));
  }
  await bed.stop();
  process.stdout.write(ok ? '\nEverything held.\n' : '\nA step did not hold: see above.\n');
  return ok ? 0 : 1;
}

process.exitCode = await main();
