import { execFile, execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface DnsLoadResult {
  readonly questions: number;
  readonly perSecond: number;
  readonly lost: number;
}

/** Sockets that ask, and questions that wait for an answer at a time. */
const CLIENTS = 8;
const OUTSTANDING = 64;

/** Whether Debian's `dnsperf` is installed. */
export function hasDnsperf(): boolean {
  try {
    execFileSync('dnsperf', ['-h'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Asks one question over UDP again and again for so many seconds, with the public load tool `dnsperf`. */
export async function dnsLoad(dns: string, question: string, seconds: number): Promise<DnsLoadResult> {
  const [host = '', port = ''] = dns.split(':');
  const file = join(tmpdir(), `isthmus-dnsperf-${process.pid}.txt`);
  writeFileSync(file, `${question}\n`);
  const args = ['-s', host, '-p', port, '-d', file, '-l', String(seconds)];
  args.push('-c', String(CLIENTS), '-q', String(OUTSTANDING));
  try {
    const text = await new Promise<string>((resolve, reject) => {
      execFile('dnsperf', args, (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`dnsperf: ${stderr || error.message}`));
      });
    });
    const figure = (name: string): number => Number(new RegExp(`${name}:\\s+([\\d.]+)`).exec(text)?.[1] ?? Number.NaN);
    const answered = /Response codes:\s+NOERROR \d+ \(100\.00%\)/.test(text);
    if (!answered) throw new Error(`${question}: not every answer was NOERROR:\n${text}`);
    return {
      questions: figure('Queries completed'),
      perSecond: figure('Queries per second'),
      lost: figure('Queries lost'),
    };
  } finally {
    rmSync(file, { force: true });
  }
}
