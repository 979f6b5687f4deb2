/** Commands of Consul that are not here on purpose, and what to do instead. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  exec:
    'it would let whoever may write a key and fire an event run any command on every machine. Run commands with what ' +
    'manages your machines (ssh, Ansible); to make agents do one thing that you have set, fire an event and let ' +
    '"watches" in their configuration run it (docs/events-and-watches.md).',
  'services export':
    'it writes for which peers a service is visible, and there are no peers: datacenters are joined, and every ' +
    'service ' +
    'of the mesh is known in all of them. Who may connect is said by intentions (docs/two-datacenters.md).',
};
