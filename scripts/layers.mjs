/**
 * The floors of the house: which folder may import which. `check-imports.mjs` enforces it and draws it.
 * Everyone but `lib` may import `lib`; everyone above floor 1 may import `model` and `telemetry/types.ts`.
 */

/**
 * @typedef {{ folder: string, floor: number, holds: string, may: readonly string[], also?: readonly { file: RegExp,
 * may: readonly string[], text: string }[] }} Layer
 */

/** Folders are below src/; a folder's own files may import each other. The longest matching folder counts. */
/** @type {readonly Layer[]} */
export const LAYERS = [
  {
    folder: 'cli',
    floor: 9,
    holds: 'one command a file; the only place that ends the process',
    may: ['client', 'config', 'snapshot', 'watch'],
    also: [
      { file: /\/agent[^/]*\.ts$/, may: ['daemon', 'telemetry'], text: 'agent: daemon' },
      { file: /\/store-[^/]*\.ts$/, may: ['daemon'], text: 'store: daemon' },
      { file: /\/tls-[^/]*\.ts$/, may: ['pki'], text: 'tls: pki' },
      { file: /\/[^/]*proxy[^/]*\.ts$/, may: ['sidecar', 'pki', 'telemetry'], text: 'connect proxy: sidecar' },
    ],
  },
  {
    folder: 'daemon',
    floor: 8,
    holds: 'the composition root of the agent: builds, starts, reloads, stops',
    may: [
      'config',
      'pki',
      'telemetry',
      'store',
      'domain/*',
      'rpc/*',
      'federation',
      'server/*',
      'agent/*',
      'edge/*',
      'sidecar',
      'watch',
    ],
  },
  { folder: 'client', floor: 7, holds: 'typed client of the HTTP API', may: [] },
  {
    folder: 'client/connect',
    floor: 7,
    holds: 'what applications without a sidecar are linked with',
    may: ['client', 'sidecar', 'pki'],
  },
  {
    folder: 'edge/http',
    floor: 6,
    holds: 'the HTTP API: routes as data',
    may: ['rpc/contract', 'agent/*'],
  },
  { folder: 'edge/dns', floor: 6, holds: 'DNS', may: ['rpc/contract', 'rpc/subscribe', 'agent/*'] },
  { folder: 'edge/xds', floor: 6, holds: 'Envoy', may: ['rpc/contract', 'rpc/grpc', 'agent/*'] },
  { folder: 'sidecar', floor: 6, holds: 'the built-in proxy', may: ['pki'] },
  {
    folder: 'agent',
    floor: 5,
    holds: 'what its parts decide together',
    may: ['rpc/contract', 'rpc/subscribe', 'pki', 'agent/*'],
  },
  {
    folder: 'agent/access',
    floor: 5,
    holds: 'what tokens may ask of the agent',
    may: ['rpc/contract', 'rpc/subscribe', 'agent/cache', 'agent/local', 'agent/proxycfg'],
  },
  { folder: 'agent/session', floor: 5, holds: 'the session with a server', may: ['rpc/contract', 'rpc/transport'] },
  { folder: 'agent/local', floor: 5, holds: 'services, checks, sync', may: ['rpc/contract', 'pki'] },
  {
    folder: 'agent/cache',
    floor: 5,
    holds: 'streamed views, leaves, roots',
    may: ['rpc/contract', 'rpc/subscribe', 'pki'],
  },
  { folder: 'agent/events', floor: 5, holds: 'custom events', may: ['rpc/contract'] },
  {
    folder: 'agent/proxycfg',
    floor: 5,
    holds: 'one snapshot for each proxy',
    may: ['rpc/contract', 'rpc/subscribe', 'pki', 'agent/cache'],
  },
  {
    folder: 'server',
    floor: 5,
    holds: 'the contract carried out',
    may: ['pki', 'snapshot', 'store', 'domain/*', 'rpc/*', 'federation'],
  },
  {
    folder: 'server/resolve',
    floor: 5,
    holds: 'queries and upstreams, over datacenters',
    may: ['domain/queries', 'federation', 'rpc/contract', 'rpc/subscribe'],
  },
  { folder: 'federation', floor: 4, holds: 'links, forwarding, replication', may: ['store', 'rpc/*'] },
  { folder: 'rpc/contract', floor: 4, holds: 'what servers can be asked', may: [] },
  {
    folder: 'rpc/transport',
    floor: 4,
    holds: 'its carrier over mutual TLS',
    may: ['rpc/contract', 'rpc/gen', 'rpc/grpc', 'pki'],
  },
  { folder: 'rpc/subscribe', floor: 4, holds: 'questions that are followed, each once', may: ['rpc/contract'] },
  { folder: 'rpc/grpc', floor: 4, holds: 'gRPC servers that no caller can end', may: [] },
  { folder: 'rpc/gen', floor: 4, holds: 'generated from proto/', may: [] },
  { folder: 'domain/catalog', floor: 3, holds: 'nodes, services, health', may: ['store'] },
  { folder: 'domain/intentions', floor: 3, holds: 'who may talk to whom', may: ['store'] },
  { folder: 'domain/ca', floor: 3, holds: 'roots, rotation, signing', may: ['store', 'pki'] },
  { folder: 'domain/enrolment', floor: 3, holds: 'certificates of agents, invitations', may: ['store', 'pki'] },
  { folder: 'domain/entries', floor: 3, holds: 'configuration entries', may: ['store'] },
  { folder: 'domain/events', floor: 3, holds: 'custom events', may: ['store'] },
  { folder: 'domain/acl', floor: 3, holds: 'tokens and policies', may: ['store'] },
  { folder: 'domain/nodes', floor: 3, holds: 'sessions of agents, members', may: ['store'] },
  { folder: 'domain/queries', floor: 3, holds: 'prepared queries', may: ['store'] },
  { folder: 'domain/kv', floor: 3, holds: 'keys, locks, sessions of users, transactions', may: ['store'] },
  { folder: 'store', floor: 2, holds: 'tables, watches, engines', may: [] },
  { folder: 'snapshot', floor: 1, holds: 'the archive of a store', may: [] },
  { folder: 'config', floor: 1, holds: 'load, merge, validate', may: ['watch'] },
  { folder: 'watch', floor: 1, holds: 'what is watched, and what is run then', may: [] },
  { folder: 'pki', floor: 1, holds: 'keys, CSRs, X.509, chains', may: [] },
  { folder: 'telemetry', floor: 1, holds: 'logs, metrics, audit', may: [] },
  { folder: 'model', floor: 1, holds: 'types, names, codes', may: [] },
  { folder: 'lib', floor: 0, holds: 'errors, clock, tasks, signals, queues', may: [] },
];

/** Importable by all above it. */
export const TELEMETRY_TYPES = 'telemetry/types.ts';

/** Packages that only some folders may import; all others only need to be in package.json's dependencies. */
export const PACKAGES = {
  lmdb: ['store/lmdb'],
  fastify: ['edge/http'],
  'dns-packet': ['edge/dns'],
  '@grpc/grpc-js': ['agent/local', 'rpc/grpc', 'rpc/transport', 'store/etcd'],
  '@bufbuild/protobuf': ['agent/local', 'rpc/transport', 'rpc/gen', 'federation', 'edge/xds', 'store/etcd'],
  '@peculiar/x509': ['pki'],
  jose: ['sidecar'],
  'reflect-metadata': ['pki'],
  pino: ['telemetry'],
  'prom-client': ['telemetry'],
};

/** What must not be used below a floor, except in the files named. */
export const BANNED = [
  { pattern: /\bprocess\.env\b/, name: 'process.env', below: 8, why: 'configuration is handed down by the daemon' },
  { pattern: /\bDate\.now\(|\bnew Date\(\)/, name: 'the real time', below: 8, why: 'take a Clock' },
  { pattern: /(?<![.\w])set(Timeout|Interval)\(|['"]node:timers/, name: 'a timer', below: 8, why: 'take a Clock' },
  { pattern: /\bprocess\.exit\(/, name: 'process.exit', below: 9, why: 'only the command line ends the process' },
];
export const CLOCK = 'lib/clock.ts';
