import { isUuid, newUuid } from '../../lib/ids.ts';
import type { AclRole, AclRoleInput } from '../../model/acl.ts';
import type { Read } from '../../store/read.ts';
import type { Store } from '../../store/store.ts';
import type { Stored } from '../../store/table.ts';
import { aclNotFound, hashOf, isAclName, rejected, shownGrants, storedGrants } from './links.ts';
import { type AclTables, alone, POLICIES_TOPIC, ROLES_TOPIC, type StoredRole } from './tables.ts';

export interface Roles {
  readonly reads: {
    readonly 'acl.roles': Read<{ readonly policy?: string }, readonly AclRole[]>;
    readonly 'acl.role': Read<{ readonly id: string } | { readonly name: string }, AclRole>;
  };
  set(input: AclRoleInput): Promise<AclRole>;
  delete(id: string): Promise<true>;
}

export function createRoles(store: Store, tables: AclTables): Roles {
  const shown = (row: Stored<StoredRole>): AclRole => {
    const { ID, Name, Description, Hash } = row.value;
    return {
      ID,
      Name,
      Description,
      ...shownGrants(tables, row.value),
      Hash,
      CreateIndex: row.createRevision,
      ModifyIndex: row.modRevision,
    };
  };
  return {
    reads: {
      'acl.roles': {
        topics: () => [ROLES_TOPIC, POLICIES_TOPIC],
        produce: ({ policy }) =>
          tables.roles
            .list()
            .filter((row) => policy === undefined || row.value.Policies?.some((link) => link.ID === policy))
            .map(shown),
      },
      'acl.role': {
        topics: () => [ROLES_TOPIC, POLICIES_TOPIC],
        produce(args) {
          const row = 'id' in args ? tables.roles.get(args.id) : tables.roles.by('name', args.name)[0];
          if (row === undefined) throw aclNotFound();
          return shown(row);
        },
      },
    },

    async set(input) {
      const { ID = '', Name = '', Description = '' } = input;
      if (ID !== '' && !isUuid(ID)) throw rejected('Role ID invalid UUID');
      if (Name === '') throw rejected('Invalid Role: no Name is set');
      if (!isAclName(Name))
        throw rejected("Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed");
      const id = ID === '' ? newUuid() : ID;
      await store.transact((tx) => {
        alone(tx, tables, 'role-names');
        const other = tables.roles.by('name', Name)[0];
        if (other !== undefined && other.value.ID !== id)
          throw rejected(`Invalid Role: A Role with Name ${JSON.stringify(Name)} already exists`);
        if (ID !== '' && tx.get(tables.roles, id) === undefined) throw rejected(`cannot find role ${id}`);
        const role = { ID: id, Name, Description, ...storedGrants(tables, input, 'role') };
        tx.put(tables.roles, { ...role, Hash: hashOf(role) });
      });
      return shown(tables.roles.get(id) as Stored<StoredRole>);
    },

    async delete(id) {
      if (!isUuid(id)) throw rejected('Role ID is missing or an invalid UUID');
      await store.transact((tx) => {
        if (tx.get(tables.roles, id) !== undefined) tx.delete(tables.roles, id);
      });
      return true;
    },
  };
}
