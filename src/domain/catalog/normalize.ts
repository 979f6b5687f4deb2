import { IsthmusError } from '../../lib/errors.ts';
import type { HealthCheck } from '../../model/catalog.ts';
import {
  faultList,
  type GivenService,
  isAnyAddress,
  portFaults,
  proxyFaults,
  serviceId,
} from '../../model/service-form.ts';
import type { CheckEntity, ServiceEntity } from './tables.ts';

export function rejected(message: string): IsthmusError {
  return new IsthmusError('rejected', message);
}

/** Throws `rejected` when the service makes no sense. The texts are Consul's. */
export function validateService(service: GivenService): void {
  const faults = proxyFaults(service);
  if (faults.length > 0) throw rejected(faultList(faults));
  const [port] = portFaults(service);
  if (port !== undefined) throw new IsthmusError('invalid_argument', port);
  if ((service.ID ?? '') !== '' && (service.Service ?? '') === '') throw rejected('Must provide service name with ID');
  if (isAnyAddress(service.Address ?? '')) throw rejected('Invalid service address');
  if (serviceId(service) === '')
    throw rejected('failed inserting service: failed inserting service: object missing primary index');
}

/** Service name and tags are filled in by the caller from the service that the check belongs to. */
export function normalizeCheck(
  node: string,
  check: Readonly<Partial<HealthCheck>>,
  service: Pick<ServiceEntity, 'ID' | 'Service' | 'Tags'> | undefined,
): CheckEntity {
  return {
    Node: node,
    CheckID: check.CheckID || check.Name || '',
    Name: check.Name ?? '',
    Status: check.Status || 'critical',
    Notes: check.Notes ?? '',
    Output: check.Output ?? '',
    ServiceID: service?.ID ?? '',
    ServiceName: service?.Service ?? '',
    ServiceTags: service?.Tags ?? null,
    Type: check.Type ?? '',
    ...(check.ExposedPort ? { ExposedPort: check.ExposedPort } : undefined),
    Definition: check.Definition ?? {},
  };
}
