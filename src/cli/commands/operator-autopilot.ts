import { type Command, type CommandContext, doing } from '../command.ts';
import { type FlagSpec, UsageError } from '../flags.ts';

type AutopilotConfig = Readonly<Record<string, unknown>>;

const PATH = '/v1/operator/autopilot/configuration';

/** Each by its flag. */
const SETTINGS: readonly (FlagSpec & { readonly field: string })[] = [
  {
    field: 'CleanupDeadServers',
    name: 'cleanup-dead-servers',
    kind: 'bool',
    about: 'Whether servers that have failed are taken off the list when another one comes.',
  },
  {
    field: 'LastContactThreshold',
    name: 'last-contact-threshold',
    kind: 'duration',
    placeholder: 'duration',
    about: 'After which time without contact a server counts as unhealthy.',
  },
  {
    field: 'MaxTrailingLogs',
    name: 'max-trailing-logs',
    kind: 'number',
    about: 'How many entries of Raft a healthy server may be behind.',
  },
  { field: 'MinQuorum', name: 'min-quorum', kind: 'number', about: 'Servers that must stay.' },
  {
    field: 'ServerStabilizationTime',
    name: 'server-stabilization-time',
    kind: 'duration',
    placeholder: 'duration',
    about: 'How long a new server must be healthy before it votes.',
  },
  {
    field: 'RedundancyZoneTag',
    name: 'redundancy-zone-tag',
    kind: 'text',
    about: 'Enterprise: metadata with the zone of a server.',
  },
  {
    field: 'DisableUpgradeMigration',
    name: 'disable-upgrade-migration',
    kind: 'bool',
    about: 'Enterprise: no migration to newer servers.',
  },
  {
    field: 'UpgradeVersionTag',
    name: 'upgrade-version-tag',
    kind: 'text',
    about: 'Enterprise: metadata with the version of a server.',
  },
];

const WITHOUT_EFFECT =
  'Servers share a store here, and there is no quorum among them that would have to be kept: what is set is kept and ' +
  'shown for the tools that do so, and changes nothing.';

async function readConfig({ client }: CommandContext): Promise<AutopilotConfig> {
  const { transport } = client();
  return (
    await doing(
      'Error querying Autopilot configuration',
      transport.json<AutopilotConfig>({ method: 'GET', path: PATH }),
    )
  ).value;
}

const getConfig: Command = {
  path: ['operator', 'autopilot', 'get-config'],
  synopsis: 'Show the configuration of autopilot, which changes nothing here',
  about: WITHOUT_EFFECT,
  flags: [],
  api: 'server',
  async run(context) {
    const config = await readConfig(context);
    if (context.json) context.printJson(config);
    else
      for (const { field, kind } of SETTINGS)
        context.print(`${field} = ${kind === 'text' ? JSON.stringify(config[field]) : String(config[field])}`);
    return 0;
  },
};

const setConfig: Command = {
  path: ['operator', 'autopilot', 'set-config'],
  synopsis: 'Change the configuration of autopilot, which changes nothing here',
  about: WITHOUT_EFFECT,
  flags: SETTINGS,
  api: 'server',
  async run(context) {
    const { flags, client, print, complain } = context;
    const { CreateIndex: _created, ModifyIndex, ...before } = await readConfig(context);
    const given = SETTINGS.filter(({ name }) => flags.has(name)).map(({ field, name, kind }) => {
      const value = kind === 'bool' ? flags.bool(name) : kind === 'number' ? flags.number(name, 0) : flags.text(name);
      return [field, value] as const;
    });
    if (given.length === 0) throw new UsageError('Give at least one flag with what is to be changed');
    const body = { ...before, ...Object.fromEntries(given) };
    const request = { method: 'PUT', path: PATH, query: { cas: String(ModifyIndex) }, body } as const;
    const { value } = await doing('Error setting Autopilot configuration', client().transport.json<boolean>(request));
    if (!value) {
      complain('Configuration could not be atomically updated, please try again');
      return 1;
    }
    print('Configuration updated!');
    return 0;
  },
};

interface AutopilotServer {
  readonly ID: string;
  readonly Name: string;
  readonly Address: string;
  readonly Version: string;
  readonly Status: string;
  readonly NodeType: string;
  readonly NodeStatus: string;
  readonly Healthy: boolean;
  readonly LastContact: string;
  readonly LastTerm: number;
  readonly LastIndex: number;
  readonly Meta: Readonly<Record<string, string>>;
}

interface AutopilotState {
  readonly Healthy: boolean;
  readonly FailureTolerance: number;
  readonly OptimisticFailureTolerance: number;
  readonly Leader: string;
  readonly Voters: readonly string[];
  readonly Servers: Readonly<Record<string, AutopilotServer>>;
}

const state: Command = {
  path: ['operator', 'autopilot', 'state'],
  synopsis: 'Show the servers of the datacenter and their health',
  flags: [],
  api: 'server',
  async run({ client, json, printJson, print }) {
    const { transport } = client();
    const request = { method: 'GET', path: '/v1/operator/autopilot/state' } as const;
    const { value } = await doing('Error getting autopilot state', transport.json<AutopilotState>(request));
    if (json) printJson(value);
    else print(stateText(value));
    return 0;
  },
};

function stateText(state: AutopilotState): string {
  const servers = Object.values(state.Servers).sort((a, b) => (a.Name < b.Name ? -1 : 1));
  return [
    `Healthy:                      ${state.Healthy}`,
    `Failure Tolerance:            ${state.FailureTolerance}`,
    `Optimistic Failure Tolerance: ${state.OptimisticFailureTolerance}`,
    `Leader:                       ${state.Leader}`,
    'Voters:',
    ...state.Voters.map((id) => `   ${id}`),
    'Servers:',
    ...servers.flatMap(serverLines),
  ].join('\n');
}

function serverLines(server: AutopilotServer): readonly string[] {
  return [
    `   ${server.ID}`,
    `      Name:            ${server.Name}`,
    `      Address:         ${server.Address}`,
    `      Version:         ${server.Version}`,
    `      Status:          ${server.Status}`,
    `      Node Type:       ${server.NodeType}`,
    `      Node Status:     ${server.NodeStatus}`,
    `      Healthy:         ${server.Healthy}`,
    `      Last Contact:    ${server.LastContact}`,
    `      Last Term:       ${server.LastTerm}`,
    `      Last Index:      ${server.LastIndex}`,
    ...Object.entries(server.Meta).map(([key, value], at) =>
      at === 0
        ? `      Meta\n         ${JSON.stringify(key)}: ${JSON.stringify(value)}`
        : `         ${JSON.stringify(key)}: ${JSON.stringify(value)}`,
    ),
  ];
}

export const operatorAutopilotCommands: readonly Command[] = [getConfig, setConfig, state];
