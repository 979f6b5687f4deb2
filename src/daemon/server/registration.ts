import type { Clock } from '../../lib/clock.ts';
import type { Service } from '../../lib/service.ts';
import { createTaskGroup } from '../../lib/task.ts';
import type { ServerContract } from '../../rpc/contract/contract.ts';
import type { Logger } from '../../telemetry/types.ts';
import { serverRegistration } from '../node/self.ts';
import { warnOfOpenPorts } from '../security/port-protection.ts';
import type { Foundation } from './foundation.ts';

export interface RegistrationDeps extends Pick<Foundation, 'identity' | 'bound' | 'store' | 'tls'> {
  readonly server: Pick<ServerContract, 'write'>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Writes this server's own rows into the catalog once its ports are open, and again after a restore. */
export function createRegistration({ identity, bound, store, tls, server, clock, log }: RegistrationDeps): Service {
  const tasks = createTaskGroup({
    clock,
    onError: (task, error) => log.error('task failed', { task, error: error.message }),
  });
  const register = async (signal: AbortSignal): Promise<void> => {
    await server.write('catalog.register', serverRegistration(identity), { signal });
  };
  let unhookRestore = (): void => undefined;
  return {
    name: 'registration of this server',
    async start(signal) {
      warnOfOpenPorts({ addresses: bound, ...tls.protection() }, log);
      await register(signal);
      // What a snapshot says of this server may be old, or nothing.
      unhookRestore = store.onRestore(() => tasks.run('registration after a restore', register));
    },
    async stop() {
      unhookRestore();
      await tasks.stop();
    },
  };
}
