// Asks the greeter. Usage: node client.mjs [datacenter]
import { request } from 'node:https';
import { createConnect } from 'isthmus/connect';

const datacenter = process.argv[2];
const address = process.env.CONSUL_HTTP_ADDR ?? '127.0.0.1:8500';

const connect = createConnect({ service: 'visitor', agent: { address, token: process.env.CONSUL_HTTP_TOKEN } });
await connect.start();

const { agent } = connect.upstream({ service: 'greeter', ...(datacenter === undefined ? {} : { datacenter }) });
const answer = await new Promise((resolve, reject) => {
  request('https://greeter/', { agent }, async (response) => resolve((await response.toArray()).join('')))
    .on('error', reject)
    .end();
}).catch((error) => `refused: ${error.message}\n`);
process.stdout.write(answer);
await connect.stop();
