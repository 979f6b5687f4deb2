import type { HealthCheck } from '../../model/catalog.ts';
import { type Command, doing } from '../command.ts';
import { UsageError } from '../flags.ts';

const NODE = '_node_maintenance';
const SERVICE = '_service_maintenance:';

export const maint: Command = {
  path: ['maint'],
  synopsis: 'Take a node or a service out of use for a while',
  about:
    'In maintenance, a node or a service has a critical check, so that it gets no traffic. It lasts over a restart ' +
    'of the agent, until -disable. Without -enable and -disable, what is in maintenance is listed.',
  flags: [
    { name: 'enable', kind: 'bool', about: 'Begin maintenance.' },
    { name: 'disable', kind: 'bool', about: 'End it.' },
    { name: 'reason', kind: 'text', placeholder: 'text', about: 'Why; shown to others.' },
    { name: 'service', kind: 'text', placeholder: 'id', about: 'ID of the service. Else the whole node.' },
  ],
  api: 'agent',
  async run({ flags, client, json, print, printJson }) {
    const [enable, disable] = [flags.bool('enable'), flags.bool('disable')];
    const [reason, service] = [flags.text('reason'), flags.text('service')];
    if (enable && disable) throw new UsageError('Only one of -enable or -disable may be provided');
    if (!enable && !disable && (reason !== '' || service !== ''))
      throw new UsageError('-reason and -service may only be set with -enable or -disable');
    const { transport } = client();
    if (!enable && !disable) {
      const checks = await doing('Error getting checks', client().agent.checks());
      const found = Object.values(checks).filter(({ CheckID }) => CheckID === NODE || CheckID.startsWith(SERVICE));
      if (json) printJson(found);
      else for (const check of found) print(lines(check));
      return 0;
    }
    const what = service === '' ? 'node' : 'service';
    const path =
      service === '' ? '/v1/agent/maintenance' : `/v1/agent/service/maintenance/${encodeURIComponent(service)}`;
    const query = { enable: String(enable), reason: enable ? reason : '' };
    await doing(
      `Error ${enable ? 'enabling' : 'disabling'} ${what} maintenance`,
      transport.text({ method: 'PUT', path, query }),
    );
    if (service === '') print(`Node maintenance is now ${enable ? 'enabled' : 'disabled'}`);
    else print(`Service maintenance is now ${enable ? 'enabled' : 'disabled'} for ${JSON.stringify(service)}`);
    return 0;
  },
};

function lines({ CheckID, Node, ServiceID, Notes }: HealthCheck): string {
  return CheckID === NODE
    ? `Node:\n  Name:   ${Node}\n  Reason: ${Notes}\n`
    : `Service:\n  ID:     ${ServiceID}\n  Reason: ${Notes}\n`;
}
