import { connect, type Socket } from 'node:net';
import { json, until } from '../test/harness/index.ts';
import { quantile, requestBytes } from './http-load.ts';
import { allow, blocking, exact, mustAll, numbers, type Row, registerX, residentMb, targetOf, WARM } from './rows.ts';

const WRITERS = 16;
const INTENTIONS = 3_000;

/** Intentions of different services, each writer with one at a time. */
export const writers: Row = async (bed) => {
  const target = { ...targetOf(bed.dc1), connections: WRITERS };
  const write = (kind: string, count: number): Promise<void> =>
    mustAll(
      target,
      numbers(count).map((number) => requestBytes(target, 'PUT', exact('web', `${kind}-${number}`), allow)),
    );
  await write('warm', WARM);
  const begun = performance.now();
  await write('written', INTENTIONS);
  const seconds = (performance.now() - begun) / 1_000;
  return [
    {
      what: `intentions acknowledged, ${WRITERS} writers`,
      unit: '/s',
      value: INTENTIONS / seconds,
      samples: INTENTIONS,
      goal: '≥ 2,500',
    },
  ];
};

const WATCHERS = 2_000;
const WAKES = 5;

/** One blocking query after another on a connection of its own. */
class Watcher {
  readonly #socket: Socket;
  readonly #path: string;
  readonly #onAnswer: () => void;
  #pending = '';
  #missing = 0;
  index = '';

  constructor(http: string, path: string, onAnswer: () => void) {
    const [host = '', port = ''] = http.split(':');
    this.#path = path;
    this.#onAnswer = onAnswer;
    this.#socket = connect({ host, port: Number(port) });
    this.#socket.on('error', () => undefined); // ends it; the wait for all of them says how many are missing
    this.#socket.on('data', (chunk) => this.#read(chunk));
  }

  ask(index: string): void {
    this.#socket.write(`GET ${this.#path}?index=${index}&wait=300s HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    if (this.#missing > 0) this.#missing -= chunk.length;
    else {
      this.#pending += chunk.toString('latin1');
      const end = this.#pending.indexOf('\r\n\r\n');
      if (end < 0) return;
      const [, length] = /content-length: (\d+)/i.exec(this.#pending) ?? [];
      // Consul sends long answers in chunks: those end it here, and what is left of them is read over.
      this.#missing = Number(length ?? 0) - (this.#pending.length - end - 4);
      this.index = /x-consul-index: (\d+)/i.exec(this.#pending)?.[1] ?? '';
      this.#pending = '';
      this.#onAnswer();
    }
  }
}

/** Many who wait for one service: what each costs, how fast a write wakes them, and what the writer waits for. */
export const watchers: Row = async (bed) => {
  await registerX(bed);
  const path = '/v1/health/service/x';
  const pid = bed.pids[0] ?? 0;
  const { headers } = await blocking(bed.dc1, path);
  const before = residentMb(pid);
  let awake = 0;
  let last = 0;
  const all = numbers(WATCHERS).map(
    () =>
      new Watcher(bed.dc1, path, () => {
        awake += 1;
        last = performance.now();
      }),
  );
  const acknowledged: number[] = [];
  const woken: number[] = [];
  let memory = 0;
  try {
    let index = headers;
    for (const round of numbers(WAKES)) {
      for (const watcher of all) watcher.ask(index);
      await new Promise((resolve) => setTimeout(resolve, 3_000)); // all must be blocked; nothing says when
      if (round === 0) memory = residentMb(pid) - before;
      awake = 0;
      const begun = performance.now();
      await json(bed.dc1, 'PUT', '/v1/catalog/register', {
        Node: 'read-0',
        Address: '10.1.0.0',
        Check: { CheckID: 'c-0', Name: 'c', Status: round % 2 === 0 ? 'warning' : 'passing', ServiceID: 'x-0' },
      });
      acknowledged.push(performance.now() - begun);
      await until(
        'all watchers',
        30_000,
        async () => awake,
        (count) => count === WATCHERS,
      );
      woken.push(last - begun);
      index = all[0]?.index ?? '';
    }
  } finally {
    for (const watcher of all) watcher.close();
  }
  return [
    {
      what: '2,000 blocked watchers: memory each',
      unit: 'KB',
      value: (memory * 1_024) / WATCHERS,
      samples: WATCHERS,
      goal: '≤ 12',
    },
    {
      what: '… the write that wakes them is acknowledged (p50)',
      unit: 'ms',
      value: quantile(acknowledged, 0.5),
      samples: WAKES,
      goal: '≤ 5',
    },
    {
      what: '… the last one woken after it (p50)',
      unit: 'ms',
      value: quantile(woken, 0.5),
      samples: WAKES,
      goal: '≤ 100',
    },
  ];
};
