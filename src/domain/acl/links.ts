import { createHash } from 'node:crypto';
import { IsthmusError } from '../../lib/errors.ts';
import {
  type AclGrants,
  type AclLink,
  type AclTokenInput,
  type NodeIdentity,
  REPLICATION_ROLE,
  REPLICATION_ROLE_ID,
  type ServiceIdentity,
} from '../../model/acl.ts';
import { checkTemplatedPolicy } from '../../model/templated-policies.ts';
import { type AclTables, policyByName, policyRow, roleExists } from './tables.ts';

/** What tokens and roles grant: checked, resolved to IDs for the tables, and given names again for readers. */

const NAME = /^[A-Za-z0-9\-_]{1,128}$/;
const SERVICE_NAME = /^[a-z0-9]([a-z0-9\-_]{0,254}[a-z0-9])?$/;

export function isAclName(name: string): boolean {
  return NAME.test(name);
}

export function rejected(text: string): IsthmusError {
  return new IsthmusError('rejected', text);
}

/** As Consul refuses what is not there. */
export function aclNotFound(): IsthmusError {
  return new IsthmusError('permission_denied', 'ACL not found');
}

/** Resolves names to IDs and refuses what does not exist. @param owner 'token' or 'role', for the texts */
export function storedGrants(
  tables: AclTables,
  input: Pick<
    AclTokenInput,
    'Policies' | 'Roles' | 'ServiceIdentities' | 'NodeIdentities' | 'TemplatedPolicies' | 'Local'
  >,
  owner: 'token' | 'role',
): AclGrants {
  const policies = unique((input.Policies ?? []).map((link) => policyId(tables, link)));
  const roles = unique((input.Roles ?? []).map((link) => roleId(tables, link)));
  const services = (input.ServiceIdentities ?? []).map((identity) =>
    serviceIdentity(identity, owner, input.Local === true),
  );
  const nodes = (input.NodeIdentities ?? []).map((identity) => nodeIdentity(identity, owner));
  const templated = (input.TemplatedPolicies ?? []).map((policy) =>
    checkTemplatedPolicy(policy, owner, input.Local === true),
  );
  return {
    ...(policies.length > 0 ? { Policies: policies.map((ID) => ({ ID })) } : {}),
    ...(roles.length > 0 ? { Roles: roles.map((ID) => ({ ID })) } : {}),
    ...(services.length > 0 ? { ServiceIdentities: services } : {}),
    ...(nodes.length > 0 ? { NodeIdentities: nodes } : {}),
    ...(templated.length > 0 ? { TemplatedPolicies: templated } : {}),
  };
}

/** With the present names; links to what was deleted are left out. */
export function shownGrants(tables: AclTables, grants: AclGrants): AclGrants {
  const policies = (grants.Policies ?? []).flatMap(({ ID }): AclLink[] => {
    const row = policyRow(tables, ID);
    return row === undefined ? [] : [{ ID, Name: row.value.Name }];
  });
  const roles = (grants.Roles ?? []).flatMap(({ ID }): AclLink[] => {
    if (ID === REPLICATION_ROLE_ID) return [{ ID, Name: REPLICATION_ROLE }];
    const row = tables.roles.get(ID);
    return row === undefined ? [] : [{ ID, Name: row.value.Name }];
  });
  return {
    ...(policies.length > 0 ? { Policies: policies } : {}),
    ...(roles.length > 0 ? { Roles: roles } : {}),
    ...(grants.ServiceIdentities === undefined ? {} : { ServiceIdentities: grants.ServiceIdentities }),
    ...(grants.NodeIdentities === undefined ? {} : { NodeIdentities: grants.NodeIdentities }),
    ...(grants.TemplatedPolicies === undefined ? {} : { TemplatedPolicies: grants.TemplatedPolicies }),
  };
}

/** Tells two contents apart; of the same form as Consul's. */
export function hashOf(content: unknown): string {
  return createHash('sha256').update(JSON.stringify(content)).digest('base64');
}

function policyId(tables: AclTables, { ID = '', Name = '' }: Partial<AclLink>): string {
  if (ID !== '') {
    if (policyRow(tables, ID) === undefined) throw rejected(`No such ACL policy with ID ${JSON.stringify(ID)}`);
    return ID;
  }
  const row = policyByName(tables, Name);
  if (row === undefined) throw rejected(`No such ACL policy with name ${JSON.stringify(Name)}`);
  return row.value.ID;
}

function roleId(tables: AclTables, { ID = '', Name = '' }: Partial<AclLink>): string {
  if (ID !== '') {
    if (!roleExists(tables, ID)) throw rejected(`No such ACL role with ID ${JSON.stringify(ID)}`);
    return ID;
  }
  if (Name === REPLICATION_ROLE) return REPLICATION_ROLE_ID;
  const row = tables.roles.by('name', Name)[0];
  if (row === undefined) throw rejected(`No such ACL role with name ${JSON.stringify(Name)}`);
  return row.value.ID;
}

function serviceIdentity(
  { ServiceName = '', Datacenters = [] }: Partial<ServiceIdentity>,
  owner: string,
  local: boolean,
): ServiceIdentity {
  if (ServiceName === '') throw rejected(`Service identity is missing the service name field on this ${owner}`);
  if (local && Datacenters.length > 0)
    throw rejected(`Service identity "${ServiceName}" cannot specify a list of datacenters on a local token`);
  if (!SERVICE_NAME.test(ServiceName))
    throw rejected(
      `Service identity "${ServiceName}" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' ` +
        `are allowed`,
    );
  return Datacenters.length > 0 ? { ServiceName, Datacenters } : { ServiceName };
}

function nodeIdentity({ NodeName = '', Datacenter = '' }: Partial<NodeIdentity>, owner: string): NodeIdentity {
  if (NodeName === '') throw rejected(`Node identity is missing the node name field on this ${owner}`);
  if (Datacenter === '') throw rejected(`Node identity is missing the datacenter field on this ${owner}`);
  if (!SERVICE_NAME.test(NodeName))
    throw rejected(
      `Node identity has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`,
    );
  return { NodeName, Datacenter };
}

function unique(ids: readonly string[]): readonly string[] {
  return [...new Set(ids)];
}
