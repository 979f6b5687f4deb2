/** Where a client of Consul's is in the user's cache, and whether it is there. */
export function findClient(name: string): {
  readonly folder: string;
  readonly path: string;
  readonly present: boolean;
};
