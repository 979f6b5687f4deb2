import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * `preferred` where this machine has it. Linux answers on all of 127.0.0.0/8; elsewhere only 127.0.0.1 is set up, and
 * the other family's loopback address stands for the far side of the WAN.
 */
export async function wanHost(preferred: string): Promise<string> {
  const server = createServer();
  try {
    server.listen(0, preferred);
    await once(server, 'listening');
    return preferred;
  } catch {
    return '::1';
  } finally {
    server.close();
  }
}
