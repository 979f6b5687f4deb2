// Does with the npm package `consul` what people use it for, against the agent of CONSUL_HTTP_ADDR. Each argument is a
// task; a line for each that is done, and status 1 at the first that fails.
import { strict as assert } from 'node:assert';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const Consul = createRequire(join(process.env.CONSUL_CLIENT ?? '', 'x.js'))('consul');
const [host, port] = (process.env.CONSUL_HTTP_ADDR ?? '').split(':');
const client = new Consul({ host, port: Number(port) });

/** The first value of a watch that fulfils the condition. */
function watched(method, options, wanted) {
  return new Promise((resolve, reject) => {
    const watch = client.watch({ method, options, backoffFactor: 100 });
    watch.on('error', (error) => {
      watch.end();
      reject(error);
    });
    watch.on('change', (data) => {
      if (!wanted(data)) return;
      watch.end();
      resolve(data);
    });
  });
}

const TASKS = {
  async services() {
    await client.agent.service.register({ id: 'mail-1', name: 'mail', port: 25, tags: ['a'], check: { ttl: '30s' } });
    assert.equal((await client.agent.service.list())['mail-1'].Service, 'mail');
    const passing = watched(client.health.service, { service: 'mail', passing: true }, (found) => found.length === 1);
    await client.agent.check.pass('service:mail-1');
    const [entry] = await passing;
    assert.equal(entry.Service.Port, 25);
    await client.agent.service.maintenance({ id: 'mail-1', enable: true, reason: 'by hand' });
    await client.agent.service.maintenance({ id: 'mail-1', enable: false });
    await client.catalog.register({ node: 'js-node', address: '10.8.8.8', service: { service: 'ledger-js', port: 2 } });
    assert.ok('ledger-js' in (await client.catalog.services()));
    const { ID } = await client.query.create({ name: 'find-js', service: { service: 'ledger-js' } });
    assert.equal((await client.query.execute('find-js')).Nodes.length, 1);
    await client.query.destroy(ID);
    await client.agent.service.deregister('mail-1');
    assert.equal((await client.agent.service.list())['mail-1'], undefined);
  },
  async state() {
    assert.ok(await client.status.leader());
    assert.equal((await client.agent.self()).Config.Datacenter, 'dc1');
    assert.equal((await client.agent.members()).length, 1);
  },
  async keys() {
    assert.equal(await client.kv.set('js/a', 'one'), true);
    const changed = watched(client.kv.get, { key: 'js/a' }, (pair) => pair?.Value === 'two');
    await client.kv.set('js/a', 'two');
    assert.equal((await changed).Value, 'two');
    const { ID } = await client.session.create({ name: 'js', ttl: '10s', lockdelay: '1s' });
    assert.equal(await client.kv.set({ key: 'js/lock', value: 'mine', acquire: ID }), true);
    await client.session.destroy(ID);
    assert.deepEqual((await client.kv.keys('js/')).sort(), ['js/a', 'js/lock']);
    await client.kv.del({ key: 'js/', recurse: true });
    assert.equal(await client.kv.get('js/a'), undefined);
  },
};

for (const name of process.argv.slice(2)) {
  await TASKS[name]();
  console.log(`ok ${name}`);
}
