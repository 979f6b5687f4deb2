// A web server that is a member of the mesh by itself. Usage: node server.mjs [port]
import { createServer } from 'node:https';
import { createConnect } from 'isthmus/connect';

const port = Number(process.argv[2] ?? 8443);
const address = process.env.CONSUL_HTTP_ADDR ?? '127.0.0.1:8500';

const connect = createConnect({
  service: 'greeter',
  agent: { address, token: process.env.CONSUL_HTTP_TOKEN },
  onRefused: ({ caller, from, text }) => console.log(`refused ${caller?.uri ?? from}: ${text}`),
  onProblem: ({ what, error }) => console.log(`${what}: ${error.message}`),
});
await connect.start();

const server = createServer(connect.serverOptions(), (request, response) => {
  const caller = connect.callerOf(request.socket);
  response.end(`hello ${caller.service} of ${caller.datacenter}\n`);
});
connect.protect(server);
server.listen(port, () => console.log(`greeter listens at port ${server.address().port}`));

process.once('SIGTERM', async () => {
  server.close();
  server.closeIdleConnections();
  await connect.stop();
});
