/** Configuration entries (/v1/config). Each kind has fields of its own beside these. */

const CONFIG_ENTRY_KINDS = [
  'service-defaults',
  'proxy-defaults',
  'service-router',
  'service-splitter',
  'service-resolver',
  'service-intentions',
  'mesh',
  'jwt-provider',
] as const;

export type ConfigEntryKind = (typeof CONFIG_ENTRY_KINDS)[number];

export interface ConfigEntry {
  readonly Kind: ConfigEntryKind;
  readonly Name: string;
  readonly Meta?: Readonly<Record<string, string>>;
  readonly CreateIndex?: number;
  readonly ModifyIndex?: number;
  readonly [field: string]: unknown;
}
