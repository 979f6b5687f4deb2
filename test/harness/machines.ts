import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BINARY } from './agent.ts';
import { program } from './programs.ts';

/** A machine of its own as far as the network is concerned: a namespace of the kernel with one address. */
export interface Machine {
  readonly address: string;
  /** A program that runs `binary` there, with the arguments that it is given. */
  runs(binary?: string): string;
}

export interface Machines {
  readonly machines: readonly Machine[];
  stop(): Promise<void>;
}

const ip = program('ip');

/** Why there can be none, or undefined: namespaces take an administrator of the machine. */
export function withoutMachines(): string | undefined {
  if (ip.missing) return 'no ip (iproute2) on this machine';
  const name = `isthmus-${process.pid}`;
  if (spawnSync(ip.path, ['netns', 'add', name]).status !== 0) return 'no right to make network namespaces';
  spawnSync(ip.path, ['netns', 'del', name]);
  return undefined;
}

/** Machines on one network, with this one among them: it reaches them all, and they reach each other. */
export async function startMachines(count: number): Promise<Machines> {
  const id = process.pid.toString(36);
  const network = `10.231.${process.pid % 256}`;
  const bridge = `ist${id}`;
  const folder = mkdtempSync(join(tmpdir(), 'isthmus-machines-'));
  const names: string[] = [];
  const stop = async (): Promise<void> => {
    for (const name of names) spawnSync(ip.path, ['netns', 'del', name]); // the cable goes with it
    spawnSync(ip.path, ['link', 'del', bridge]);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    run('link', 'add', bridge, 'type', 'bridge');
    run('addr', 'add', `${network}.254/24`, 'dev', bridge);
    run('link', 'set', bridge, 'up');
    const machines = Array.from({ length: count }, (_, at): Machine => {
      const name = `${bridge}m${at}`;
      const address = `${network}.${at + 1}`;
      run('netns', 'add', name);
      names.push(name);
      run('link', 'add', `${bridge}v${at}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
      run('link', 'set', `${bridge}v${at}`, 'master', bridge, 'up');
      run('-n', name, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
      run('-n', name, 'link', 'set', 'eth0', 'up');
      run('-n', name, 'link', 'set', 'lo', 'up');
      return { address, runs: (binary = BINARY) => script(name, binary) };
    });
    return { machines, stop };
  } catch (error) {
    await stop();
    throw error;
  }

  function script(name: string, binary: string): string {
    const file = join(mkdtempSync(join(folder, `${name}-`)), 'isthmus');
    writeFileSync(file, `#!/bin/sh\nexec '${ip.path}' netns exec '${name}' '${binary}' "$@"\n`);
    chmodSync(file, 0o755);
    return file;
  }
}

function run(...args: string[]): void {
  const { status, stderr } = spawnSync(ip.path, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}
