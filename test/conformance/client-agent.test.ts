import { afterAll, beforeAll, describe } from 'vitest';
import { type AgentProcess, startAgent } from '../harness/index.ts';
import { KNOWN_DIFFERENCES } from './known-differences.ts';
import { loadRecordings } from './recording.ts';
import { Replay } from './replay.ts';
import { replayTests } from './replay-tests.ts';

/** What the real Consul's agent was asked is asked of a client agent, which has the name of the recorded node. */
describe('answers of a client agent', () => {
  let server: AgentProcess;
  let client: AgentProcess;
  const replay = new Replay((_dc, method, path, body) => client.http(method, path, body), KNOWN_DIFFERENCES);

  beforeAll(async () => {
    server = await startAgent({ name: 'server', datacenter: 'dc1' });
    const config = { server: false, retry_join: [server.ready.serf_lan] };
    client = await startAgent({ name: 'dc1-s1', datacenter: 'dc1', config });
  });

  afterAll(async () => {
    await client?.stop();
    await server?.stop();
  });

  replayTests(replay, 'agent', loadRecordings('agent'));
});
