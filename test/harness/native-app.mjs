/**
 * An application that is linked with `isthmus/connect`, for tests: echoes by mutual TLS, and listens at a port for each
 * upstream, as a sidecar does, so that the same load goes through either. Its one argument is JSON.
 */
import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { createConnect } from 'isthmus/connect';

const { service, agent, echo, upstreams } = JSON.parse(process.argv[2]);
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const connect = createConnect({
  service,
  agent,
  onRefused: ({ caller, text, wasOpen }) =>
    say({ refused: caller?.service, datacenter: caller?.datacenter, text, wasOpen }),
  onProblem: ({ what, error }) => say({ problem: what, error: error.message }),
});
await connect.start();
const servers = [];
const listen = async (server, port) => {
  servers.push(server);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
};

let port;
if (echo !== undefined) {
  const server = createTlsServer(connect.serverOptions(), (socket) => {
    socket.setNoDelay(true);
    socket.on('data', (chunk) => socket.write(`${echo.name}: ${chunk}`));
  });
  port = await listen(connect.protect(server), echo.port);
}
const ports = [];
for (const options of upstreams) {
  const upstream = connect.upstream(options);
  const server = createTcpServer({ pauseOnConnect: true, noDelay: true }, (near) => {
    near.on('error', () => near.destroy());
    upstream.dial().then(
      (far) => join(near, far),
      (error) => {
        say({ failed: options, code: error.code, error: error.message });
        near.resetAndDestroy();
      },
    );
  });
  ports.push(await listen(server, 0));
}
process.once('SIGTERM', () => {
  for (const server of servers) server.close();
  const end = () => process.exit(); // what is open ends with it
  connect.stop().then(end, end);
});
process.stdout.write(`==> Native ready: ${JSON.stringify({ port, ports })}\n`);

function join(near, far) {
  far.setNoDelay(true);
  far.on('close', () => near.destroy());
  near.on('close', () => far.destroy());
  near.pipe(far).pipe(near);
  near.resume();
}
