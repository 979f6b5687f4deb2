import { statfs } from 'node:fs/promises';
import { arch, cpus, freemem, hostname, platform, release, totalmem, uptime } from 'node:os';
import { COMPATIBLE_VERSION, VERSION } from '../../model/version.ts';

/** The answer of /v1/agent/host: the fields that clients show, as far as the operating system says them to Node. */
export async function machine(dataDir: string): Promise<unknown> {
  const errors: string[] = [];
  const disk = await statfs(dataDir === '' ? '.' : dataDir).catch((error: NodeJS.ErrnoException) => {
    errors.push(`disk usage: ${error.code ?? error.message}`);
    return undefined;
  });
  const total = totalmem();
  const free = freemem();
  return {
    Memory: { total, available: free, used: total - free, usedPercent: percent(total - free, total), free },
    CPU: cpus().map(({ model, speed }, cpu) => ({
      cpu,
      vendorId: '',
      family: '',
      model: '',
      stepping: 0,
      physicalId: '',
      coreId: String(cpu),
      cores: 1,
      modelName: model,
      mhz: speed,
      cacheSize: 0,
      flags: [],
      microcode: '',
    })),
    Host: {
      hostname: hostname(),
      uptime: Math.floor(uptime()),
      bootTime: Math.floor(Date.now() / 1_000 - uptime()),
      procs: 0,
      os: platform(),
      platform: platform(),
      platformFamily: '',
      platformVersion: '',
      kernelVersion: release(),
      kernelArch: arch(),
      virtualizationSystem: '',
      virtualizationRole: '',
      hostId: '',
    },
    Disk: disk === undefined ? null : diskUsage(dataDir, disk),
    CollectionTime: Date.now() * 1_000_000,
    Errors: errors.length === 0 ? null : errors,
  };
}

/** The answer of /v1/agent/version. */
export function agentVersion(): unknown {
  return {
    SHA: '',
    BuildDate: '1970-01-01T00:00:01Z',
    HumanVersion: COMPATIBLE_VERSION,
    FIPS: '',
    IsthmusVersion: VERSION,
  };
}

function diskUsage(
  path: string,
  { blocks, bfree, bavail, bsize, files, ffree, type }: Awaited<ReturnType<typeof statfs>>,
) {
  const [size, free, used] = [Number(blocks), Number(bfree), Number(blocks) - Number(bfree)].map(
    (count) => count * Number(bsize),
  ) as [number, number, number];
  return {
    path,
    fstype: `0x${Number(type).toString(16)}`,
    total: size,
    free: Number(bavail) * Number(bsize),
    used,
    usedPercent: percent(used, used + free),
    inodesTotal: Number(files),
    inodesUsed: Number(files) - Number(ffree),
    inodesFree: Number(ffree),
    inodesUsedPercent: percent(Number(files) - Number(ffree), Number(files)),
  };
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : (100 * part) / whole;
}
