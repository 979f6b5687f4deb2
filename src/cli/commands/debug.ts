import { arch, cpus, platform, release, totalmem } from 'node:os';
import { gzipSync } from 'node:zlib';
import type { Client } from '../../client/client.ts';
import { parseDuration } from '../../lib/duration.ts';
import { IsthmusError } from '../../lib/errors.ts';
import { sleep } from '../../lib/signals.ts';
import { VERSION } from '../../model/version.ts';
import { TAR_END, tarFile } from '../../snapshot/tar.ts';
import { attempting, type Command } from '../command.ts';
import { UsageError } from '../flags.ts';
import { saveNew } from './new-files.ts';

/**
 * What is asked of the agent: file in the archive to the endpoint whose answer it holds. None of these answers holds a
 * secret.
 */
const PAGES: Readonly<Record<string, string>> = {
  'agent.json': '/v1/agent/self',
  'members.json': '/v1/agent/members',
  'members-wan.json': '/v1/agent/members?wan=1',
  'leader.json': '/v1/status/leader',
  'servers.json': '/v1/operator/raft/configuration',
  'autopilot.json': '/v1/operator/autopilot/health',
  'datacenters.json': '/v1/catalog/datacenters',
  'links.json': '/v1/internal/links',
  'replication.json': '/v1/internal/replication',
  'acl-replication.json': '/v1/acl/replication',
  'ca-roots.json': '/v1/connect/ca/roots',
  'ca-status.json': '/v1/connect/ca/status',
  'ca-rotation.json': '/v1/connect/ca/rotation',
  'ca-configuration.json': '/v1/connect/ca/configuration',
  'services.json': '/v1/agent/services',
  'checks.json': '/v1/agent/checks',
};

const CAPTURES = ['agent', 'metrics', 'logs', 'cluster'] as const;

export const debug: Command = {
  path: ['debug'],
  synopsis: 'Collect what helps to find a fault, in one archive without secrets',
  about:
    'Asks the agent for its configuration (secrets hidden), members, links, replication, the state of the ' +
    'authority, its newest log lines, and its metrics now and once every interval. What cannot be read is listed in ' +
    'errors.json and does not stop the rest.',
  flags: [
    {
      name: 'output',
      kind: 'text',
      placeholder: 'file',
      about: 'Archive to write. Default isthmus-debug-<time>.tar.gz.',
    },
    {
      name: 'duration',
      kind: 'duration',
      placeholder: 'duration',
      about: 'How long to collect metrics. Default 10s; 0s collects them once.',
    },
    { name: 'interval', kind: 'duration', placeholder: 'duration', about: 'Time between two collections. Default 5s.' },
    {
      name: 'capture',
      kind: 'list',
      placeholder: 'what',
      about: `Collect only this: ${CAPTURES.join(', ')}.`,
    },
  ],
  api: 'agent',
  async run({ client, flags, io, json, print, printJson }) {
    const wanted = flags.list('capture');
    const unknown = wanted.find((one) => !CAPTURES.some((known) => known === one));
    if (unknown !== undefined)
      throw new UsageError(`Unknown -capture: ${unknown}; it is one of ${CAPTURES.join(', ')}`);
    const captures = (what: (typeof CAPTURES)[number]): boolean => wanted.length === 0 || wanted.includes(what);
    const now = io.clock.now();
    const file = flags.text('output') || `isthmus-debug-${new Date(now).toISOString().replace(/[:.]/g, '-')}.tar.gz`;
    const bundle = new Bundle(now);
    const api = client();
    // Without an agent there is nothing to collect: this one failure ends it.
    const self = await api.transport.text({ method: 'GET', path: '/v1/agent/self' });
    bundle.add('index.json', index(now));
    if (captures('agent')) bundle.add('agent.json', self);
    if (captures('cluster'))
      for (const [name, path] of Object.entries(PAGES))
        if (name !== 'agent.json') await bundle.page(name, get(api, path));
    if (captures('metrics')) {
      const end = now + parseDuration(flags.text('duration') || '10s');
      const interval = Math.max(100, parseDuration(flags.text('interval') || '5s'));
      for (let round = 0; ; round += 1) {
        await bundle.page(`metrics-${round}.json`, get(api, '/v1/agent/metrics'));
        if (io.clock.now() + interval > end) break;
        await sleep(io.clock, interval, io.stopSignal());
      }
      await bundle.page('metrics.prom', get(api, '/v1/agent/metrics?format=prometheus'));
    }
    if (captures('logs')) await bundle.page('agent.log', api.agent.recentLog('debug'));
    attempting('Error saving the archive', () => saveNew(io, file, bundle.archive(), 0o600));
    if (json) printJson({ File: file, Files: bundle.names, Errors: bundle.errors });
    else {
      print(`==> Saved ${bundle.names.length} files to ${file}`);
      for (const failure of bundle.errors) print(`    ${failure.Name} is missing: ${failure.Error}`);
    }
    return 0;
  },
};

function get(api: Client, target: string): Promise<string> {
  const [path = '', query = ''] = target.split('?');
  return api.transport.text({ method: 'GET', path, query: Object.fromEntries(new URLSearchParams(query)) });
}

function index(now: number): string {
  const facts = {
    Time: new Date(now).toISOString(),
    Version: VERSION,
    Node: process.version,
    Platform: `${platform()} ${release()} ${arch()}`,
    CPUs: cpus().length,
    MemoryBytes: totalmem(),
  };
  return JSON.stringify(facts, null, 2);
}

/** Files on their way into an archive. */
class Bundle {
  readonly errors: { readonly Name: string; readonly Error: string }[] = [];
  readonly #files: { readonly name: string; readonly data: Buffer }[] = [];
  readonly #time: number;

  constructor(time: number) {
    this.#time = time;
  }

  get names(): readonly string[] {
    return this.#files.map(({ name }) => name);
  }

  add(name: string, text: string): void {
    this.#files.push({ name, data: Buffer.from(text) });
  }

  async page(name: string, text: Promise<string>): Promise<void> {
    try {
      this.add(name, await text);
    } catch (error) {
      this.errors.push({ Name: name, Error: IsthmusError.from(error).message });
    }
  }

  archive(): Buffer {
    if (this.errors.length > 0) this.add('errors.json', JSON.stringify(this.errors, null, 2));
    const seconds = Math.floor(this.#time / 1_000);
    const files = this.#files.map(({ name, data }) => tarFile(name, data, seconds));
    return gzipSync(Buffer.concat([...files, TAR_END]));
  }
}
