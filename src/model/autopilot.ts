/** Configuration of Consul's autopilot, kept and shown. Nothing acts on it: see `AUTOPILOT_WITHOUT_EFFECT`. */
export interface AutopilotConfig {
  readonly CleanupDeadServers: boolean;
  readonly LastContactThreshold: string;
  readonly MaxTrailingLogs: number;
  readonly MinQuorum: number;
  readonly ServerStabilizationTime: string;
  readonly RedundancyZoneTag: string;
  readonly DisableUpgradeMigration: boolean;
  readonly UpgradeVersionTag: string;
  readonly CreateIndex: number;
  readonly ModifyIndex: number;
}

export type AutopilotConfigInput = Partial<Omit<AutopilotConfig, 'CreateIndex' | 'ModifyIndex'>>;

export const DEFAULT_AUTOPILOT: Omit<AutopilotConfig, 'CreateIndex' | 'ModifyIndex'> = {
  CleanupDeadServers: true,
  LastContactThreshold: '200ms',
  MaxTrailingLogs: 250,
  MinQuorum: 0,
  ServerStabilizationTime: '10s',
  RedundancyZoneTag: '',
  DisableUpgradeMigration: false,
  UpgradeVersionTag: '',
};

export const AUTOPILOT_WITHOUT_EFFECT =
  'the configuration of autopilot is kept and has no effect: servers share a store, and there is no quorum among them';
